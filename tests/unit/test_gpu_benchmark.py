"""benchmarks/gpu.py on the processor, and on stand-ins of CUDA, ONNX Runtime's provider and TensorRT."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gpu, record
from benchmarks.gpu_throughput import Share
from benchmarks.pairs import Plan
from lmdeploy.bundle import ModelSpec
from lmdeploy.geometry import CropRule
from lmdeploy.schema import load_schema
from tests.gpu_kit.fake_ort import FakeOrt
from tests.tensorrt_kit.fake_cuda import FakeCuda
from tests.tensorrt_kit.fake_tensorrt import FakeTensorRT
from tests.tensorrt_kit.installed import modules
from tests.tiny_bundle import mixing, tiny_onnx

SIZE = 64


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The blob network in place of STLD's, blocks of a few calls, and no engine kept in this user's cache."""
    crop = CropRule(size=SIZE)
    spec = ModelSpec(name="t", landmarks=load_schema("ibug68"), crop=crop, codec="subpixel", method="none")
    monkeypatch.setattr(gpu, "operated", lambda *_: tiny_onnx(SIZE, mixing(68)))
    monkeypatch.setattr(gpu, "spec_of", lambda *_: spec)
    real, plan = gpu.extent, Plan(pairs=2, block_s=0.001)
    short = {"batches": (1, 4), "turns": 2, "plan": plan}
    monkeypatch.setattr(gpu, "extent", lambda device, **how: replace(real(device, **how), **short))
    monkeypatch.setattr(gpu, "write_result", lambda *words: record.write_result(*words, tmp_path / "results"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    lines = capsys.readouterr().out.splitlines()
    return {name: float(value) for name, value in (line.removeprefix("figure: ").split("=") for line in lines)}


def test_on_a_processor_it_says_so_in_every_figure_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    gpu.main(["--quick", "--device", "cpu"])
    names = ("ms", "throughput", "crops_per_s", "onnxruntime_fp32_crops_ms")
    assert set(printed(capsys)) == {f"cpu_hm_r18_{name}" for name in names}
    assert not (tmp_path / "results").exists()


def test_every_way_of_a_gpu_is_measured_and_recorded(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = FakeCuda()
    ort, trt = FakeOrt(cuda), FakeTensorRT(cuda)
    for name, module in {**modules(cuda, trt), "onnxruntime": ort}.items():
        monkeypatch.setitem(sys.modules, name, module)
    gpu.main(["--network", "tf_r18"])
    found = printed(capsys)
    ways = [f"onnxruntime_{p}_{how}" for p in ("fp32", "fp16") for how in ("frames", "crops")]
    ways += [f"tensorrt_{p}_crops" for p in ("fp32", "fp16")]
    assert set(found) == {f"cuda_tf_r18_{n}" for n in ("ms", "throughput", "crops_per_s", *(f"{w}_ms" for w in ways))}
    assert found["cuda_tf_r18_ms"] == min(found[f"cuda_tf_r18_{way}_ms"] for way in ways)
    (path,) = (tmp_path / "results").iterdir()
    written = record.read_result(path)
    assert written.figures == pytest.approx(found, rel=1e-4)
    assert set(written.details["tf_r18"]["ways"]) == set(ways)
    assert written.details["tf_r18"]["left_out"] == {
        f"tensorrt_{p}_frames": "this engine takes crops only" for p in ("fp32", "fp16")
    }
    assert (cuda.memory, cuda.streams) == ({}, {})


def test_without_a_gpu_it_ends_with_the_reason() -> None:
    with pytest.raises(SystemExit, match=r"nothing here runs on cuda: .*CUDAExecutionProvider"):
        gpu.main(["--quick"])


def test_the_share_is_that_of_the_batch_whose_network_is_fastest() -> None:
    """By hand: 2 batches a call; 4 crops in 1 ms beat 1 crop in 1 ms; the calls take 1.25 and 1 ms."""
    times = {
        "ours_1": np.array([3.0, 3.0, 3.0]), "alone_1": np.array([1.0, 1.0, 1.0]),
        "ours_4": np.array([1.25, 1.0, 2.0]), "alone_4": np.array([1.0, 1.0, 1.0]),
    }  # fmt: skip
    share = Share(4, 2, times)
    assert share.figures() == pytest.approx({"throughput": 0.8, "crops_per_s": 1e3 * 8 / 1.25})
