"""Mixing before enlarging: ONNX's own reference stands beside it, and rows of bilinear weights worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from export.surgery import late_resize, operate
from export.surgery.graph import Graph
from tests.unit.export.small_graphs import by_reference, by_runtime, graph, kinds

CHANNELS, ROWS, COLUMNS = (3, 5, 14, 9), (16, 8, 4, 2), (24, 12, 6, 3)
OUT = 7


def joined_maps(
    resize: dict[str, Any], relu: bool = True, channels: tuple[int, ...] = CHANNELS, count: int = 2
) -> bytes:
    """`count` 1x1 convolutions of four maps that are brought to the first one's size."""
    draw = np.random.default_rng(0)
    how = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"} | resize
    nodes = [("Relu", [f"x{i}"], f"r{i}", {}) for i in range(4)]
    nodes += [("Resize", [f"r{i}", "", "", f"size{i}"], f"u{i}", how) for i in (1, 2, 3)]
    nodes += [("Concat", ["r0", "u1", "u2", "u3"], "cat", {"axis": 1})]
    for i in range(count):
        nodes += [("Conv", ["cat", f"w{i}", "b"], f"c{i}" if relu else f"y{i}", {"kernel_shape": [1, 1]})]
        nodes += [("Relu", [f"c{i}"], f"y{i}", {})] if relu else []
    constants = {
        **{f"w{i}": draw.normal(size=(OUT, sum(channels), 1, 1)).astype(np.float32) for i in range(count)},
        "b": draw.normal(size=OUT).astype(np.float32),
        **{f"size{i}": np.array([2, channels[i], ROWS[0], COLUMNS[0]], np.int64) for i in (1, 2, 3)},
    }
    inputs = {f"x{i}": [2, c, ROWS[i], COLUMNS[i]] for i, c in enumerate(channels)}
    return graph(nodes, constants, inputs, [f"y{i}" for i in range(count)])


def maps(channels: tuple[int, ...] = CHANNELS) -> dict[str, Any]:
    draw = np.random.default_rng(1)
    shapes = {f"x{i}": (2, c, ROWS[i], COLUMNS[i]) for i, c in enumerate(channels)}
    return {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("relu", [True, False])
def test_the_numbers_stay(relu: bool) -> None:
    old = joined_maps({}, relu)
    new = operate(old)
    assert "Resize" not in kinds(new)
    assert kinds(new).count("Conv") == 2 * 3  # together at the full size; the third and the fourth map before that
    wanted = by_reference(old, maps())
    assert wanted[0].std() > 1
    for found in (by_reference(new, maps()), by_runtime(new, maps())):
        np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_weights_of_enlarging() -> None:
    """Cell centres of 4 lie at -1/4, 1/4, 3/4 and 5/4 of 2; beyond the border its value holds."""
    np.testing.assert_array_equal(late_resize.enlarging(2, 4), [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    np.testing.assert_array_equal(late_resize.enlarging(3, 3), np.eye(3))
    np.testing.assert_array_equal(late_resize.enlarging(1, 4), np.ones((4, 1)))


def test_every_cell_is_used_as_often_as_any_other() -> None:
    """Which is why a map's mean is that of the enlarged map."""
    for small, factor in ((2, 2), (8, 8), (16, 4), (5, 3)):
        np.testing.assert_allclose(late_resize.enlarging(small, small * factor).sum(axis=0), factor, rtol=1e-6)


@pytest.mark.parametrize(
    "resize",
    [{"mode": "nearest"}, {"coordinate_transformation_mode": "align_corners"}, {"antialias": 1}],
)
def test_other_ways_of_enlarging_stay(resize: dict[str, Any]) -> None:
    assert late_resize.rewrite(Graph(joined_maps(resize))) == 0


def test_maps_enlarged_by_a_fraction_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROWS", (14, 8, 4, 2))
    assert late_resize.rewrite(Graph(joined_maps({}))) == 0


def test_maps_of_few_channels_are_mixed_where_they_were() -> None:
    assert late_resize.rewrite(Graph(joined_maps({}, channels=(3, 5, 8, 4)))) == 0


@pytest.mark.parametrize("relu", [True, False])
def test_a_single_convolution_keeps_its_resizes(relu: bool) -> None:
    """HM's head: OpenVINO in bf16 would take longer with products."""
    old = joined_maps({}, relu, count=1)
    new = operate(old)
    assert "MatMul" not in kinds(new)
    assert kinds(new).count("Resize") == kinds(new).count("Conv") == 3
    wanted = by_reference(old, maps())
    for found in (by_reference(new, maps()), by_runtime(new, maps())):
        np.testing.assert_allclose(found, wanted, atol=2e-5)
