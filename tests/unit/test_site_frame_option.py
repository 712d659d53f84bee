"""A refresh exports what the champion has: the file that takes whole frames is not lost on the way."""

from __future__ import annotations

from pathlib import Path

from lmdeploy.bundle import write_bundle
from lmdeploy.site.steps import frame_option
from tests.tiny_bundle import make_tiny_bundle


def test_a_champion_that_takes_whole_frames_has_such_a_successor(tmp_path: Path) -> None:
    plain = make_tiny_bundle(tmp_path / "plain")
    files = {"model.onnx": plain.file("model.onnx").read_bytes(), "model.frame.onnx": b"its like"}
    framed = write_bundle(tmp_path / "framed", plain.spec, files)
    assert frame_option(plain.path) == []
    assert frame_option(framed.path) == ["--frame"]
