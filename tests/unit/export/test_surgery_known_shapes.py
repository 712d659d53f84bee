"""Told shapes are those that the file gives when it runs, for any batch, and only for maps of the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from export.surgery import operate
from export.surgery.known_shapes import told
from tests.unit.export.small_graphs import by_runtime, graph

NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}


def shapes(model: bytes) -> dict[str, list[Any]]:
    values = onnx.load_from_string(model).graph.value_info
    return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}


def enlarged_twice(batch: Any, first: float = 1) -> bytes:
    """Two convolutions and two Resizes in turn, of which `first` times as many images come out."""
    weight = np.random.default_rng(0).normal(size=(4, 4, 1, 1)).astype(np.float32)
    nodes = [
        ("Resize", ["x", "", "by"], "wide", NEAREST),
        ("Conv", ["wide", "w"], "c", {"kernel_shape": [1, 1]}),
        ("Add", ["c", "wide"], "a", {}),
        ("Resize", ["a", "", "by"], "wider", NEAREST),
        ("Relu", ["wider"], "y", {}),
    ]
    by = np.array([first, 1, 2, 3], np.float32)
    model = onnx.load_from_string(graph(nodes, {"w": weight, "by": by}, {"x": [batch, 4, 5, 6]}, ["y"]))
    del model.graph.value_info[:]
    return bytes(model.SerializeToString())


def test_both_shapes_are_told_and_true() -> None:
    new = told(enlarged_twice("B"))
    assert shapes(new) == {"wide": ["B", 4, 10, 18], "wider": ["B", 4, 20, 54]}
    for batch in (1, 3):
        x = np.ones((batch, 4, 5, 6), np.float32)
        assert by_runtime(new, {"x": x})[0].shape == (batch, 4, 20, 54)
        np.testing.assert_array_equal(by_runtime(new, {"x": x})[0], by_runtime(enlarged_twice("B"), {"x": x})[0])


@pytest.mark.parametrize(("batch", "first"), [(2, 1), ("B", 2)])
def test_nothing_is_told_of_a_fixed_batch_or_of_more_images(batch: Any, first: float) -> None:
    plain = enlarged_twice(batch, first)
    assert shapes(told(plain)) == {}


def test_what_is_known_is_not_told_again() -> None:
    once = told(enlarged_twice("B"))
    assert shapes(told(once)) == shapes(once)
    assert len(onnx.load_from_string(told(once)).graph.value_info) == 2


def test_a_network_without_resizes_has_none(tiny_heatmap: bytes) -> None:
    assert shapes(operate(tiny_heatmap)) == {}
