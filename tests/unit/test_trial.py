"""A network is run once when it is opened: one that gives no numbers, or fails, never gets to see pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from lmdeploy.backends.ort import OrtBackend
from lmdeploy.bundle import write_bundle
from lmdeploy.errors import BundleError
from lmdeploy.geometry import CropRule
from lmdeploy.landmarker import Landmarker
from lmdeploy.model import open_model
from lmdeploy.types import F32, U8, Box
from tests.fake_model import fake_model
from tests.tiny_bundle import make_tiny_bundle, mixing, tiny_onnx


def broken(path: Path, values: F32) -> Path:
    """A bundle, hashes and all, whose network mixes the centroids by other numbers."""
    spec = make_tiny_bundle(path / "b", size=32).spec
    write_bundle(path / "broken", spec, {"model.onnx": tiny_onnx(32, values)})
    return path / "broken"


@pytest.mark.parametrize("value", [np.nan, 1e38])
def test_weights_that_are_no_numbers_are_found_at_the_door(tmp_path: Path, value: float) -> None:
    mix = mixing(3)
    mix[0] = value
    with pytest.raises(BundleError, match="no finite points; its weights are broken: export it again"):
        open_model(broken(tmp_path, mix), threads=1, device="cpu")


def test_a_graph_that_fails_when_it_runs_is_refused_in_one_sentence(tmp_path: Path) -> None:
    model = onnx.load_from_string(tiny_onnx(32, mixing(3)))
    (flat,) = (tensor for tensor in model.graph.initializer if tensor.name == "flat")
    flat.CopyFrom(numpy_helper.from_array(np.array([2, 32 * 32, 3], np.int64), "flat"))
    backend = OrtBackend(model.SerializeToString(), threads=1, device="cpu")
    with pytest.raises(
        BundleError, match=r"does not run on 3 crops \(.*Reshape.*\); export the model again"
    ) as caught:
        backend.run(np.zeros((3, 32, 32, 3), np.uint8))
    assert "onnxruntime" not in str(caught.value)


def test_points_that_are_no_numbers_never_reach_the_user() -> None:
    def answer(crops: U8) -> F32:
        return np.full((len(crops), 68, 2), np.nan, np.float32)

    landmarker = Landmarker(fake_model(answer, crop=CropRule(size=32)), lambda: None)  # type: ignore[arg-type,return-value]  # not called
    with pytest.raises(BundleError, match="fake gives no finite points"):
        landmarker.predict(np.zeros((50, 50, 3), np.uint8), [Box(5, 5, 40, 40)])
