"""Rewrites keep the numbers: a slow loop from the definition, PyTorch and ONNX's reference stand beside them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from export.surgery import constants, operate, transposed_conv
from export.surgery.fixed_batch import fix_batch
from export.surgery.graph import Graph
from lmdeploy.errors import InputError
from lmdeploy.types import Array
from tests.unit.export.small_graphs import by_reference, by_runtime, graph, kinds

ATOL = 2e-6  # sums of some ten products in another order


def transposed(x: Array, weight: Array, bias: Array, pad: int) -> Array:
    """Every input cell adds its weights to the output, then the border is cut: the definition, in loops."""
    count, _, height, width = x.shape
    side = weight.shape[2]
    full = np.zeros((count, weight.shape[1], 2 * height + side - 2, 2 * width + side - 2))
    for i in range(height):
        for j in range(width):
            full[:, :, 2 * i : 2 * i + side, 2 * j : 2 * j + side] += np.einsum("nd,dckl->nckl", x[:, :, i, j], weight)
    cut = full[:, :, pad : full.shape[2] - pad, pad : full.shape[3] - pad]
    return cut + bias[None, :, None, None]


@pytest.mark.parametrize(("side", "pad"), [(4, 1), (2, 0)])
@pytest.mark.parametrize("size", [(3, 5), (1, 1), (8, 2)])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
def test_transposed_convolution_is_four_convolutions(
    side: int, pad: int, size: tuple[int, int], relu: bool, with_bias: bool
) -> None:
    draw = np.random.default_rng(side + sum(size))
    x = draw.normal(size=(2, 3, *size)).astype(np.float32)
    weight = draw.normal(size=(3, 5, side, side)).astype(np.float32)
    bias = draw.normal(size=5).astype(np.float32) * with_bias
    how = {"kernel_shape": [side, side], "strides": [2, 2], "pads": [pad] * 4}
    nodes = [("ConvTranspose", ["x", "w", *(["b"] if with_bias else [])], "y" if not relu else "t", how)]
    if relu:
        nodes.append(("Relu", ["t"], "y", {}))
    old = graph(nodes, {"w": weight, "b": bias}, {"x": list(x.shape)}, ["y"])
    surgeon = Graph(old)
    assert transposed_conv.rewrite(surgeon) == 1
    new = surgeon.finish()
    assert "ConvTranspose" not in kinds(new)
    wanted = transposed(x, weight, bias, pad)
    wanted = np.maximum(wanted, 0) if relu else wanted
    for model in (old, new):
        np.testing.assert_allclose(by_runtime(model, {"x": x})[0], wanted, atol=ATOL * 10)


def test_multiply_adds_stay_the_same() -> None:
    """Weights times places: what the four convolutions hold and where they are applied."""
    weight = np.ones((3, 5, 4, 4), np.float32)
    parts = [transposed_conv.parity_taps(weight, a, b) for a in (0, 1) for b in (0, 1)]
    assert {part.shape for part in parts} == {(5, 3, 2, 2)}  # on h x w places each, as 4x4 taps were
    assert sum(part.size for part in parts) == weight.size


def test_other_transposed_convolutions_are_left_alone() -> None:
    for side, pad, more in ((3, 1, {"output_padding": [1, 1]}), (4, 0, {}), (4, 1, {"dilations": [2, 2]})):
        how = {"kernel_shape": [side, side], "strides": [2, 2], "pads": [pad] * 4, **more}
        nodes = [("ConvTranspose", ["x", "w"], "y", how)]
        model = graph(nodes, {"w": np.ones((2, 2, side, side), np.float32)}, {"x": [1, 2, 4, 4]}, ["y"])
        assert transposed_conv.rewrite(Graph(model)) == 0


def test_constants_are_computed_once() -> None:
    nodes = [
        ("Transpose", ["w"], "turned", {"perm": [1, 0]}),
        ("Add", ["turned", "turned"], "twice", {}),
        ("MatMul", ["x", "twice"], "y", {}),
    ]
    model = graph(nodes, {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}, {"x": ["B", 3]}, ["y"])
    surgeon = Graph(model)
    assert constants.fold(surgeon) == 2
    new = surgeon.finish()
    assert kinds(new) == ["MatMul"]
    x = np.eye(3, dtype=np.float32)
    np.testing.assert_array_equal(by_reference(new, {"x": x})[0], 2 * np.arange(6).reshape(2, 3).T)


def test_constants_of_eight_bits_stay_explicit() -> None:
    nodes = [("DequantizeLinear", ["w", "s", "z"], "d", {}), ("Add", ["x", "d"], "y", {})]
    values = {"w": np.array([4], np.int8), "s": np.array(0.5, np.float32), "z": np.array(0, np.int8)}
    assert constants.fold(Graph(graph(nodes, values, {"x": [1]}, ["y"]))) == 0


def test_fixed_batch_has_no_shapes_left(tiny_transformer: bytes) -> None:
    assert "Shape" in kinds(tiny_transformer)
    new = fix_batch(operate(tiny_transformer), 3)
    assert "Shape" not in kinds(new)
    model = onnx.load_from_string(new)
    dims = [d.dim_value for v in (*model.graph.input, *model.graph.output) for d in v.type.tensor_type.shape.dim]
    assert all(dims)
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    for new_one, old_one in zip(
        by_runtime(new, {"images": images}), by_runtime(tiny_transformer, {"images": images}), strict=True
    ):
        np.testing.assert_allclose(new_one, old_one, atol=1e-4)  # px; measured 2e-5


def test_a_batch_of_none_is_refused(tiny_transformer: bytes) -> None:
    with pytest.raises(InputError, match="give at least 1"):
        fix_batch(tiny_transformer, 0)


def test_the_exporter_leaves_no_batch_norm(tiny_transformer: bytes, tiny_heatmap: bytes) -> None:
    """Which is why folding them is no rewrite of ours; the networks have many."""
    assert "BatchNormalization" not in kinds(tiny_transformer) + kinds(tiny_heatmap)


def test_operate_keeps_a_whole_network_s_numbers(tiny_heatmap: bytes) -> None:
    new = operate(tiny_heatmap)
    assert kinds(tiny_heatmap).count("ConvTranspose") == kinds(new).count("DepthToSpace") == 3
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=torch.manual_seed(0)).numpy()
    for ours, theirs in zip(
        by_runtime(new, {"images": images}), by_runtime(tiny_heatmap, {"images": images}), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)
    told = [{p.key: p.value for p in onnx.load_from_string(m).metadata_props} for m in (new, tiny_heatmap)]
    assert told[0] == told[1]
    assert "lmdeploy" in told[0]


def test_a_file_without_anything_to_rewrite_stays_as_it_is(tiny_heatmap: bytes, tiny_transformer: bytes) -> None:
    for model in (tiny_heatmap, tiny_transformer):
        done = operate(model)
        assert done != model
        assert operate(done) is done
