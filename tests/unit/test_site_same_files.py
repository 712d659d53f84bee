"""A refresh exports what the champion has: neither a precision nor the file for whole frames is lost on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.precision import parse
from lmdeploy.bundle import write_bundle
from lmdeploy.site.same_files import export_options
from tests.tiny_bundle import make_tiny_bundle


@pytest.mark.parametrize(
    ("others", "options"),
    [
        ((), ["--images", "labels/images"]),
        (("model.frame.onnx",), ["--images", "labels/images", "--frame"]),
        (("model.fp16.onnx",), ["--images", "labels/images", "--precision", "fp32,fp16"]),
        (("model.int8.onnx", "model.int8.trt.onnx"), ["--data", "labels", "--precision", "fp32,int8"]),
        (
            ("model.fp16.onnx", "model.int8.onnx", "model.int8.trt.onnx", "model.frame.onnx"),
            ["--data", "labels", "--precision", "fp32,fp16,int8", "--frame"],
        ),
    ],
)
def test_successor_is_asked_for_the_champion_s_files(
    tmp_path: Path, others: tuple[str, ...], options: list[str]
) -> None:
    plain = make_tiny_bundle(tmp_path / "plain")
    files = {"model.onnx": plain.file("model.onnx").read_bytes()} | dict.fromkeys(others, b"its like")
    champion = write_bundle(tmp_path / "champion", plain.spec, files)
    assert export_options(champion.path, Path("labels")) == options
    if "--precision" in options:
        parse(options[3])  # the export command takes it
