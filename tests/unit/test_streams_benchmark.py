"""The benchmarks of live sources: figures and records, and that a slow network shows in them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import record, soak, streams
from benchmarks.stamped_faces import StampDetector, stamped
from lmdeploy.landmarker import Landmarker
from lmdeploy.model import open_model
from tests.tiny_bundle import make_tiny_bundle


def run(monkeypatch: pytest.MonkeyPatch, module: object, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["x", *words])
    module.main()  # type: ignore[attr-defined]  # every script has one


def figures(text: str) -> dict[str, float]:
    lines = [line.removeprefix("figure: ").split("=") for line in text.splitlines()]
    return {name: float(value) for name, value in lines}


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Short plans, small pictures and the blob network; the folder where records go."""
    model = open_model(make_tiny_bundle(tmp_path / "tiny").path, threads=1)
    monkeypatch.setattr(streams.Landmarker, "load", lambda *_: Landmarker(model, StampDetector))
    monkeypatch.setattr(
        streams, "portraits", lambda rate: [stamped(0, n)[..., ::-1].copy() for n in range(streams.RING)]
    )
    for name in ("QUICK", "FULL"):
        monkeypatch.setattr(streams, name, streams.Plan(fast_s=0.8, slow_s=1.0, pairs=2, frames=3))
    monkeypatch.setattr(soak, "WARM_UP", 10)
    results = tmp_path / "results"
    for module in (streams, soak):
        monkeypatch.setattr(module, "write_result", lambda *words: record.write_result(*words, results))
    return results


def test_quick_streams_prints_figures_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fast: Path
) -> None:
    run(monkeypatch, streams, "--quick", "--rate", "20")
    found = figures(capsys.readouterr().out)
    ages = {f"age_{name}_intervals" for name in ("p99", "median", "slow_p99")}
    assert set(found) == ages | {"frame_ms", "age_slow_growth", "shared_speedup"}
    assert found["age_slow_p99_intervals"] > streams.SLOW  # the pause alone
    assert not fast.exists()


def test_full_streams_and_soak_write_records(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fast: Path
) -> None:
    run(monkeypatch, streams)
    run(monkeypatch, soak, "--frames", "60")
    found = figures(capsys.readouterr().out)
    assert (found["frames"], found["wrong"]) == (60, 0)
    kept = {path.name.partition("--")[0]: record.read_result(path) for path in fast.iterdir()}
    assert np.shape(kept["streams"].details["pairs_s"]) == (2, 2)
    assert len(kept["soak"].details["memory_mb"]) == 10


def test_portrait_moves_without_a_jump() -> None:
    ring = [np.full((2, 2, 3), index, np.uint8) for index in range(streams.RING)]
    places = [int(streams.in_turn(ring, number)[0, 0, 0]) for number in range(3 * streams.RING)]
    assert set(map(abs, np.diff(places))) == {1}
    assert max(places) == streams.RING - 1
