"""`lmdeploy export --frame`: one more file a precision, held to its tolerance, in bundle.json with its sha256."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export import frame_files, package
from export.surgery.whole_frames import take_whole_frames
from lmdeploy.bundle import read_bundle
from lmdeploy.errors import BundleError, GateRefusedError


@pytest.fixture(scope="module")
def exported(run: Path, toy: Path, tmp_path_factory: pytest.TempPathFactory) -> package.Exported:
    out = tmp_path_factory.mktemp("out") / "bundle"
    return package.package(package.Request(run, out, images=toy / "test", precisions=("fp32", "fp16"), frame=True))


def test_files_and_their_parities_are_in_the_bundle(exported: package.Exported) -> None:
    manifest = exported.bundle.manifest
    assert {"model.frame.onnx", "model.frame.fp16.onnx"} < set(manifest.files)
    for name, tolerance in (("frame_fp32", 0.02), ("frame_fp16", 0.1)):
        assert manifest.parity[name]["p99_px"] <= manifest.parity[name]["tolerance_px"] == tolerance
    assert exported.parity.precision == "fp32"
    card = exported.bundle.file("card.md").read_text()
    assert "frame_fp16 against crops cut outside the graph on" in card
    assert "| landmark | fp32 | fp16 |" in card


def test_the_bundles_file_is_the_surgery_on_the_file_beside_it(exported: package.Exported) -> None:
    """So that a refreshed model, or any other bundle, gets it from its own model.onnx."""
    made = take_whole_frames(exported.bundle.file("model.onnx").read_bytes())
    assert exported.bundle.file("model.frame.onnx").read_bytes() == made


def test_an_altered_file_is_found_by_its_hash(exported: package.Exported) -> None:
    file = exported.bundle.file("model.frame.onnx")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        with pytest.raises(BundleError, match=r"model\.frame\.onnx"):
            read_bundle(exported.bundle.path)
    finally:
        file.write_bytes(whole)


def test_a_crop_at_the_wrong_place_is_refused_and_nothing_is_left(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a crop pixel aside, which is what a forgotten pixel-centre rule does; without any image of faces."""

    def shifted(model: bytes) -> bytes:
        made = onnx.load_from_string(take_whole_frames(model))
        for tensor in made.graph.initializer:
            value = numpy_helper.to_array(tensor)
            if value.shape == (32 * 32,):
                tensor.CopyFrom(numpy_helper.from_array((value + np.float32(0.5)), tensor.name))
        return made.SerializeToString()

    monkeypatch.setattr(frame_files, "take_whole_frames", shifted)
    with pytest.raises(GateRefusedError, match=r"frame_fp32 against crops cut outside .*OVER the tolerance"):
        package.package(package.Request(run, tmp_path / "bundle", frame=True))
    assert list(tmp_path.iterdir()) == []
