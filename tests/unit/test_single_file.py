"""model.onnx alone is opened from its own metadata; of another make, or newer, it is refused in one sentence."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest

from lmdeploy.bundle import ModelSpec, read_bundle
from lmdeploy.errors import BundleError
from lmdeploy.geometry import CropRule
from lmdeploy.landmarker import Landmarker
from lmdeploy.model import open_model
from lmdeploy.single_file import read_alone
from lmdeploy.types import Box
from tests.tiny_bundle import BLOBS3, blob_image, make_tiny_bundle, mixing, tiny_onnx

SPEC = ModelSpec(name="tiny", landmarks=BLOBS3, crop=CropRule(size=32), codec="subpixel", method="fixture")
POINTS = np.array([[40.0, 31.0], [55.0, 33.0], [47.0, 52.0]])


def written(folder: Path, properties: dict[str, str], name: str = "any name.onnx") -> Path:
    """A tiny network in a file of its own."""
    model = onnx.load_from_string(tiny_onnx(32, mixing(3)))
    onnx.helper.set_model_props(model, properties)
    (folder / name).write_bytes(model.SerializeToString())
    return folder / name


def test_a_file_alone_finds_what_the_bundle_finds(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path / "b", size=32)
    file = written(tmp_path, {"lmdeploy": bundle.spec.model_dump_json(), "lmdeploy_schema_version": "1"})
    image, box = blob_image(90, 90, POINTS), [Box(25, 20, 70, 65)]
    with Landmarker.load(file, threads=1, device="cpu") as alone, Landmarker.load(bundle.path, threads=1) as folder:
        assert alone.spec == bundle.spec
        (one,), (other,) = alone.predict(image, box), folder.predict(image, box)
    np.testing.assert_array_equal(one.points, other.points)
    np.testing.assert_allclose(one.points, POINTS, atol=0.6)  # px; measured 0.2
    assert one.digest == hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_shipped_network_opens_from_its_file(tmp_path: Path) -> None:
    bundle = read_bundle("face68")
    copy = tmp_path / "copied.onnx"
    copy.write_bytes(bundle.file("model.onnx").read_bytes())
    alone = read_alone(copy)
    assert alone.spec.model_dump(exclude={"detectors"}) == bundle.spec.model_dump(exclude={"detectors"})
    assert alone.file("model.onnx") == copy
    assert open_model(copy, threads=1, device="cpu").digest == bundle.manifest.files["model.onnx"].sha256
    with pytest.raises(BundleError, match=r"holds no reference\.npz"):
        alone.file("reference.npz")


@pytest.mark.parametrize(
    ("properties", "sentence"),
    [
        ({}, "ONNX file of another make: it does not say which landmarks it finds; give one that"),
        ({"author": "someone"}, "ONNX file of another make"),
        ({"lmdeploy": SPEC.model_dump_json(), "lmdeploy_schema_version": "3"}, r"schema version 3.*update it"),
        ({"lmdeploy": SPEC.model_dump_json(), "lmdeploy_schema_version": "9" * 5000}, "never written"),
        ({"lmdeploy": SPEC.model_dump_json(), "lmdeploy_schema_version": "0"}, "version 0 was never written"),
        ({"lmdeploy": "{"}, "its description is not valid JSON"),
        ({"lmdeploy": '"' + "x" * 4_000_001 + '"'}, "larger than any"),
        ({"lmdeploy": "[" * 99_999}, "nested too deeply"),
        ({"lmdeploy": SPEC.model_dump_json().replace('"codec"', '"colour"')}, "codec: Field required"),
        (
            {"lmdeploy": SPEC.model_dump_json().replace(":32", ":64")},
            "3 points on 64 px crops, its network has 3 on 32",
        ),
    ],
)
def test_what_a_file_does_not_say_right_is_refused(tmp_path: Path, properties: dict[str, str], sentence: str) -> None:
    with pytest.raises(BundleError, match=sentence) as caught:
        open_model(written(tmp_path, properties), threads=1, device="cpu", backend="onnxruntime")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_files_from_before_the_version_key_open(tmp_path: Path) -> None:
    assert read_alone(written(tmp_path, {"lmdeploy": SPEC.model_dump_json()})).manifest.schema_version == 1
