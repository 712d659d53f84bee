"""benchmarks/latency.py from end to end on tiny networks: bare figures, and a record with every pair."""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import latency, latency_video, networks, record
from benchmarks.conv_rate import conv_chain
from benchmarks.pairs import Plan
from tests.blob_video import write_blob_video
from tests.tiny_bundle import make_tiny_bundle
from tests.unit.training.conftest import SMALL_RESNET
from training.models import heatmap

SIZE = 64
TINY = dict.fromkeys(("hm_r18", "tf_r18"), heatmap.Config(backbone_options=SMALL_RESNET, channels=8))
SPIN = {"face68_bare_ms", "face68_no_spin_ms", "face68_always_spin_ms"}
CAMERA = {f"face68_camera_{way}cpu_ms" for way in ("", "no_spin_", "always_spin_")}
PACKAGE = {"overhead", "hm_r18_ms", "face68_ms", "face68_overhead"} | SPIN | CAMERA
VIDEO = {"face68_track_ms", "face68_track_p99_ms", "face68_track_ort_ms", "video_fps"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exports")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The words of a short run; its records go into tmp_path / "results"."""
    pytest.importorskip("onnxscript", reason="needs the export extra")
    monkeypatch.setattr(latency, "NETWORKS", TINY)
    monkeypatch.setattr("benchmarks.latency_bare.CAMERA_FRAMES", 2)
    monkeypatch.setattr(networks, "NETWORKS", TINY)
    small = partial(networks.operated, "hm_r18", size=SIZE)  # one export is enough for all
    monkeypatch.setattr(latency, "operated", lambda name, cache: small(cache))
    monkeypatch.setattr(latency, "make_bundle", partial(networks.make_bundle, size=SIZE))
    for name in ("QUICK", "FULL"):
        monkeypatch.setattr(latency, name, Plan(pairs=7, block_s=0.0))
    monkeypatch.setattr("benchmarks.latency_ways.conv_chain", partial(conv_chain, side=32, width=8, depth=1))
    monkeypatch.setattr(latency, "make_video", lambda path, mode: write_blob_video(path, 6))
    monkeypatch.setattr(latency, "tracked", partial(latency_video.tracked, detector="whole_image"))
    whole_image = partial(latency.PredictOptions, detector="whole_image")
    monkeypatch.setattr(latency, "PredictOptions", whole_image)
    for counts in (latency_video.RUNS, latency_video.ROUNDS):
        monkeypatch.setitem(counts, "full", 2)
    monkeypatch.setattr(latency, "write_result", lambda *words: record.write_result(*words, tmp_path / "results"))
    model = make_tiny_bundle(tmp_path / "tiny", size=SIZE).path
    return ["--model", str(model), "--threads", "1"]


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, float]:
    """The printed figures."""
    monkeypatch.setattr(sys, "argv", ["x", *words])
    latency.main()
    lines = capsys.readouterr().out.splitlines()
    assert all(re.fullmatch(r"figure: [a-z0-9_]+=[0-9.e+-]+", line) for line in lines), lines
    return {name: float(value) for name, _, value in (line.removeprefix("figure: ").partition("=") for line in lines)}


def of(name: str) -> set[str]:
    speedups = {f"speedup_{way}_{name}" for way in ("ort", "best_cpu", "channels_last", "lean")}
    return speedups | {f"{name}_{way}_ms" for way in ("eager", "channels_last", "lean", "onnxruntime", "best")}


def test_quick_measures_hm_r18_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny: list[str], cache: Path, tmp_path: Path
) -> None:
    found = run(monkeypatch, capsys, "--quick", "--cache", str(cache), *tiny)
    assert set(found) == PACKAGE | VIDEO | of("hm_r18") | {"conv_rate_share", "conv_gflops"}
    assert min(found.values()) > 0
    assert not (tmp_path / "results").exists()
    assert [path.name[:10] for path in cache.iterdir()] == ["hm_r18-64-"]


def test_full_writes_a_record_with_every_pair(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny: list[str], cache: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(latency, "agreement", lambda model, data: {"nme_loss": 0.25, "data": str(data)})
    found = run(monkeypatch, capsys, "--cache", str(cache), "--data", "folder", *tiny)
    networks_too = of("hm_r18") | of("tf_r18") | {"conv_rate_share", "conv_gflops", "best_cpu_nme_loss"}
    assert set(found) == PACKAGE | VIDEO | networks_too
    (path,) = (tmp_path / "results").iterdir()
    written = record.read_result(path)
    assert written.figures == pytest.approx(found, rel=1e-4)
    bare = written.details["bare"]["hm_r18"]["ways"]
    pairs = {way: np.array(one["pairs_ms"]) for way, one in bare.items()}
    assert pairs["bare"].shape == (7,)
    assert written.figures["overhead"] == pytest.approx(np.median(pairs["predict"] / pairs["bare"]))
    ways: dict[str, Any] = written.details["networks"]["tf_r18"]["ways"]
    ratios = np.array(ways["eager"]["pairs_ms"]) / np.array(ways["onnxruntime"]["pairs_ms"])
    assert written.figures["speedup_ort_tf_r18"] == pytest.approx(np.median(ratios))
    assert written.details["video"]["frames"] == 6
    assert len(written.details["video"]["runs_fps"]) == 2
