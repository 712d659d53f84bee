"""The place of the largest value: NumPy's answer, ties and all, and only where a place is all that is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lmdeploy.bundle import read_bundle
from lmdeploy.types import F32

openvino = pytest.importorskip("openvino", reason="OpenVINO is an extra")
from openvino import opset13 as op  # noqa: E402 - not without openvino

from lmdeploy.backends.openvino import OpenVINOBackend, the_core  # noqa: E402 - not without openvino
from lmdeploy.backends.openvino_peaks import sweep  # noqa: E402 - not without openvino


def search(axis: int, k: int = 1, shape: tuple[int, ...] = (-1, 3, 50), outputs: tuple[int, ...] = (1,)) -> Any:
    """A model with the k largest values and their places along an axis, of which it gives some outputs."""
    x = op.parameter(list(shape), openvino.Type.f32)
    found = op.topk(x, op.constant(np.int64(k)), axis, "max", "value", "i64")
    return openvino.Model([op.result(found.output(i)) for i in outputs], [x], "search")


def kinds(model: Any) -> set[str]:
    return {node.get_type_name() for node in model.get_ordered_ops()}


def run(model: Any, x: F32) -> Any:
    return the_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([x])[0]


@pytest.mark.parametrize("axis", [1, -1, 2])
def test_the_place_is_numpys_and_the_first_of_equal_ones(axis: int) -> None:
    model = search(axis)
    assert sweep(model) == 1
    assert "TopK" not in kinds(model)
    x = np.random.default_rng(0).integers(-4, 4, (5, 3, 50)).astype(np.float32)  # many ties
    found = run(model, x)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, np.argmax(x, axis, keepdims=True))


def test_a_map_of_no_numbers_has_a_place_within_the_map() -> None:
    model = search(-1)
    sweep(model)
    found = run(model, np.full((1, 3, 50), np.nan, np.float32))
    assert ((found >= 0) & (found < 50)).all()


@pytest.mark.parametrize(
    "model",
    [lambda: search(-1, k=2), lambda: search(-1, outputs=(0, 1)), lambda: search(0)],
    ids=["two", "value", "B"],
)
def test_other_searches_stay(model: Any) -> None:
    kept = model()
    assert sweep(kept) == 0
    assert "TopK" in kinds(kept)


def test_face68_needs_no_search_any_more() -> None:
    engine = OpenVINOBackend(read_bundle("face68").file("model.onnx"), 1)
    for compiled in (engine.single[-1], engine.batch[-1]):
        nodes = compiled.get_runtime_model().get_ordered_ops()
        assert "TopK" not in {node.get_rt_info()["layerType"].astype(str) for node in nodes}
