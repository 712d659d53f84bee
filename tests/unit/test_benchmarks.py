"""The benchmark scripts: they end with bare figures, pairs are interleaved, and records are written in full mode."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import latency, memory, record
from benchmarks.hm_r18 import make_hm_r18
from lmdeploy.model import open_model
from tests.tiny_bundle import make_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_bundle(tmp_path_factory.mktemp("b") / "tiny", size=128).path)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("QUICK", "FULL"):
        monkeypatch.setattr(latency, name, latency.Plan(pairs=7, block_s=0.01))
    results = tmp_path / "results"
    monkeypatch.setattr(latency, "write_result", lambda *words: record.write_result(*words, results))
    return results


def run(monkeypatch: pytest.MonkeyPatch, module: object, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["x", *words])
    module.main()  # type: ignore[attr-defined]  # every script has one


def figures(text: str) -> dict[str, float]:
    lines = text.splitlines()
    assert all(re.fullmatch(r"figure: [a-z0-9_]+=[0-9.e+-]+", line) for line in lines), text
    return {name: float(value) for name, _, value in (line.removeprefix("figure: ").partition("=") for line in lines)}


def test_quick_latency_prints_figures_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bundle: str, fast: Path
) -> None:
    run(monkeypatch, latency, "--quick", "--model", bundle, "--hm-r18", bundle, "--threads", "1")
    found = figures(capsys.readouterr().out)
    bare = {"face68_bare_ms", "face68_no_spin_ms"}
    assert set(found) == {"overhead", "hm_r18_ms", "face68_ms", "face68_overhead", *bare}
    assert min(found.values()) > 0
    assert not fast.exists()


def test_full_latency_writes_a_record_with_every_pair(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bundle: str, fast: Path
) -> None:
    run(monkeypatch, latency, "--model", bundle, "--hm-r18", bundle, "--threads", "1")
    found = figures(capsys.readouterr().out)
    (path,) = fast.iterdir()
    written = record.read_result(path)
    assert written.figures == pytest.approx(found, rel=1e-4)
    for name in ("face68", "hm_r18"):
        pairs = np.array(written.details[name]["pairs_ms"])
        assert pairs.shape == (7, 3)
        assert written.details[name]["overhead"] == pytest.approx(np.median(pairs[:, 0] / pairs[:, 1]))


def test_pairs_take_turns() -> None:
    calls: list[int] = []
    latency.interleaved([lambda: calls.append(0), lambda: calls.append(1)], latency.Plan(pairs=4, block_s=0.0))
    blocks = [calls[i] for i in range(0, len(calls), 5)]
    assert blocks == [0, 1, 0, 1, 1, 0, 0, 1, 1, 0]  # two of warm-up, then pairs that alternate in who begins


def test_scene_holds_its_box() -> None:
    frame, box = latency.scene()
    assert frame.shape == (720, 1280, 3)
    assert frame.dtype == np.uint8
    assert 0 < box.x0 < box.x1 < 1280
    assert 0 < box.y0 < box.y1 < 720


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_peak_memory_on_720p_video_is_under_350_mb(bundle: str) -> None:
    """The blob network finds no face here, so Haar runs on every frame: the costliest path."""
    assert memory.peak_mb(bundle, 1.0) < 350


def test_network_of_the_paper_is_made_where_no_bundle_is_given(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs the export extra")
    bundle = make_hm_r18(tmp_path / "hm", size=64)
    model = open_model(bundle.path, threads=1)
    out = model.backend.run(np.zeros((1, 64, 64, 3), np.uint8))
    assert out.points.shape == (1, 68, 2)
    assert 50e6 < bundle.file("model.onnx").stat().st_size < 70e6  # bytes: ResNet-18 and three deconvolutions
