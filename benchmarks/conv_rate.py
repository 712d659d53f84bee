"""How fast this processor convolves: what a network's speed is held against.

A chain of plain 3x3 convolutions, 256 -> 256 channels at 64 x 64, with ReLU: in one such layer every weight is used
4,096 times and every activation 2,304 times, so arithmetic is the limit and not memory. It is an exported graph like
any other, with the same inputs and outputs, so it runs through the same backend with the same options, threads and
precision as the network beside it. Its small first and last convolution count as well.

Multiply-adds are counted from the graph's shapes: a convolution's outputs times the weights that make one of them; a
transposed convolution's inputs times the weights that take one of them; a matrix product's outputs times the length
of a row. Padding counts as if it were computed. Nothing else counts: normalisation, additions, decoding.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod, sqrt

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from export.surgery.fixed_batch import fix_batch
from lmdeploy.types import Array

SIDE, WIDTH, DEPTH, POINTS = 64, 256, 8, 2
COUNTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def conv_chain(side: int = SIDE, width: int = WIDTH, depth: int = DEPTH) -> bytes:
    """ONNX bytes: `images` u8[B,side,side,3] -> 3x3 convolutions -> points [B,2,2], score and spread [B,2]."""
    draw = np.random.default_rng(0)
    constants: dict[str, Array] = {"axes": np.array([2, 3], np.int64), "last": np.array([2], np.int64)}
    constants["two"] = np.array([1, 1, 2], np.int64)
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["x0"], perm=[0, 3, 1, 2]),
    ]
    sizes = [3, *[width] * (depth + 1)]
    for index, (inputs, outputs) in enumerate(pairwise(sizes)):
        scale = sqrt(2 / (9 * inputs))  # activations stay of one size from layer to layer
        constants[f"w{index}"] = draw.normal(0, scale, (outputs, inputs, 3, 3)).astype(np.float32)
        nodes += [
            helper.make_node("Conv", [f"x{index}", f"w{index}"], [f"c{index}"], pads=[1] * 4, name=f"conv{index}"),
            helper.make_node("Relu", [f"c{index}"], [f"x{index + 1}"]),
        ]
    constants["head"] = draw.normal(0, 1e-3, (POINTS, width, 1, 1)).astype(np.float32)
    nodes += [
        helper.make_node("Conv", [f"x{depth + 1}", "head"], ["maps"]),
        helper.make_node("ReduceMean", ["maps", "axes"], ["score"], keepdims=0),
        helper.make_node("Identity", ["score"], ["spread"]),
        helper.make_node("Unsqueeze", ["score", "last"], ["one"]),
        helper.make_node("Expand", ["one", "two"], ["points"]),
    ]
    return _model(nodes, constants, side)


def gmacs(model: bytes) -> float:
    """Multiply-adds of one crop, 10^9: convolutions and matrix products."""
    fixed = shape_inference.infer_shapes(onnx.ModelProto.FromString(fix_batch(model, 1)), data_prop=True)
    graph = fixed.graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.value_info, *graph.input, *graph.output):
        shapes[value.name] = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
    return 1e-9 * sum(_macs(node, shapes) for node in graph.node if node.op_type in COUNTED)


def _macs(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    left, right, out = (shapes[name] for name in (node.input[0], node.input[1], node.output[0]))
    if node.op_type == "Conv":
        return prod(out) * prod(right[1:])
    if node.op_type == "ConvTranspose":
        return prod(left) * prod(right[1:])
    turned = node.op_type == "Gemm" and any(item.name == "transA" and item.i for item in node.attribute)
    return prod(out) * (left[0] if turned else left[-1])


def _model(nodes: list[onnx.NodeProto], constants: dict[str, Array], side: int) -> bytes:
    outputs: dict[str, list[int | str]] = {
        "points": ["B", POINTS, 2], "score": ["B", POINTS], "spread": ["B", POINTS],
    }  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "conv_chain",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["B", side, side, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())
