"""benchmarks/precision.py: its figures are ratios of the pairs that it records."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import precision, record
from benchmarks.pairs import Plan
from export.to_onnx import to_onnx
from lmdeploy.bundle import Bundle, ModelSpec, write_bundle
from lmdeploy.geometry import CropRule
from lmdeploy.schema import load_schema
from tests.unit.training.conftest import SMALL_RESNET
from training.models.heatmap import Config, Heatmap


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    torch.manual_seed(0)
    spec = ModelSpec(
        name="small", landmarks=load_schema("blocks6"), crop=CropRule(size=64), codec="subpixel", method="none"
    )  # fmt: skip
    network = Heatmap(Config(backbone_options=SMALL_RESNET, channels=8), 6)
    return write_bundle(tmp_path_factory.mktemp("b") / "small", spec, {"model.onnx": to_onnx(network, spec)})


def test_figures_are_medians_of_ratios(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(precision, "FULL", Plan(pairs=7, block_s=0.01))
    monkeypatch.setattr(precision, "write_result", lambda *words: record.write_result(*words, tmp_path))
    monkeypatch.setattr(sys, "argv", ["x", "--hm-r18", str(bundle.path), "--threads", "1"])
    precision.main()
    printed = dict(line.removeprefix("figure: ").split("=") for line in capsys.readouterr().out.splitlines())
    (path,) = tmp_path.iterdir()
    written = record.read_result(path)
    pairs = np.array(written.details["pairs_ms"])
    assert pairs.shape == (7, 5)
    assert written.details["ways"] == ["plain", "rewritten", "int8", "int8_plain", "s8s8"]
    wanted = {
        "rewrite_speedup": pairs[:, 0] / pairs[:, 1], "int8_speedup": pairs[:, 0] / pairs[:, 2],
        "int8_over_rewritten": pairs[:, 1] / pairs[:, 2], "int8_deconv_float_speedup": pairs[:, 0] / pairs[:, 3],
        "s8s8_slowdown": pairs[:, 4] / pairs[:, 2], "fp32_ms": pairs[:, 0], "rewritten_ms": pairs[:, 1],
        "int8_ms": pairs[:, 2],
    }  # fmt: skip
    assert {name: float(value) for name, value in printed.items()} == pytest.approx(
        {name: float(np.median(values)) for name, values in wanted.items()}, rel=1e-4
    )


def test_the_five_files_differ_as_they_say(bundle: Bundle) -> None:
    files = precision.variants(bundle.file("model.onnx").read_bytes(), 64)
    assert tuple(files) == precision.WAYS
    assert len(set(files.values())) == 5


def test_the_other_networks_are_compared_with_a_cache(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, asked = bundle.file("model.onnx").read_bytes(), []

    def from_cache(name: str, cache: Path) -> bytes:
        asked.append((name, cache))
        return plain

    monkeypatch.setattr(precision, "exported", from_cache)
    monkeypatch.setattr(precision, "SIZE", 64)
    monkeypatch.setattr(precision, "FULL", Plan(pairs=7, block_s=0.01))
    monkeypatch.setattr(precision, "write_result", lambda *words: record.write_result(*words, tmp_path / "results"))
    monkeypatch.setattr(sys, "argv", ["x", "--cache", str(tmp_path / "exports"), "--threads", "1"])
    precision.main()
    assert asked == [(name, tmp_path / "exports") for name in ("hm_r18", "tf_r18", "hm_hrnet", "tf_hrnet")]
    printed = dict(line.removeprefix("figure: ").split("=") for line in capsys.readouterr().out.splitlines())
    (path,) = (tmp_path / "results").iterdir()
    for name, ways in record.read_result(path).details["networks"].items():
        ratios = np.array(ways["plain"]["pairs_ms"]) / np.array(ways["rewritten"]["pairs_ms"])
        assert float(printed[f"rewrite_speedup_{name}"]) == pytest.approx(float(np.median(ratios)), rel=1e-4)
