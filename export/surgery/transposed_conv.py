"""A stride-2 transposed convolution as four convolutions and a depth-to-space, to the same numbers.

ConvTranspose 4x4, stride 2, pad 1. Row r of the output sums rows i of the input with tap k = r + 1 - 2 i:

    r = 2 j        k = 3, 1 on i = j - 1, j        pad before
    r = 2 j + 1    k = 2, 0 on i = j, j + 1        pad behind

Columns likewise, so each of the four pairs of row and column parity is a 2x2 convolution of the same input, and
depth-to-space weaves them together. 2x2, stride 2, no pad: one tap each, k = 0 and k = 1, so 1x1 convolutions.
The multiply-adds are those of the transposed convolution. A Relu behind it goes before the weaving, where runtimes
fuse it.

Measured with ONNX Runtime, HM-R18 at 256 px, one thread: fp32 1.17 times as fast (one convolution of all parities on a
padded map: 1.14), int8 twice, because it has no 8-bit transposed convolution (benchmarks/precision.py).
"""

from __future__ import annotations

from itertools import product

from export.surgery.graph import Graph, Node, attribute
from lmdeploy.types import Array


def rewrite(graph: Graph) -> int:
    """Replace every transposed convolution of those two kinds; how many."""
    found = [node for node in graph.of_type("ConvTranspose") if _taps(graph, node)]
    for node in found:
        _replace(graph, node)
    return len(found)


def parity_taps(weight: Array, row: int, column: int) -> Array:
    """Weights f32[C,D,t,t] of the outputs of one parity, for f32[D,C,2t,2t] of the transposed convolution."""
    taps = weight.shape[2] // 2
    first = [0, 1] if taps == 1 else [1, 0]  # smallest tap of an even and of an odd row
    rows, columns = (slice(first[parity], None, 2) for parity in (row, column))
    return weight[:, :, rows, columns][:, :, ::-1, ::-1].transpose(1, 0, 2, 3)


def _taps(graph: Graph, node: Node) -> int:
    """Taps a parity has on each axis: 2 (4x4, pad 1), 1 (2x2, no pad), or 0 where this is neither."""
    weight = graph.constant(node.input[1])
    plain = (
        attribute(node, "group", 1) == 1
        and attribute(node, "auto_pad", b"NOTSET") == b"NOTSET"
        and list(attribute(node, "strides", [])) == [2, 2]
        and set(attribute(node, "dilations", [1])) == {1}
        and set(attribute(node, "output_padding", [0])) == {0}
        and attribute(node, "output_shape") is None
    )
    if weight is None or not plain:
        return 0
    pads = tuple(attribute(node, "pads", [0] * 4))
    return {((4, 4), (1, 1, 1, 1)): 2, ((2, 2), (0, 0, 0, 0)): 1}.get((weight.shape[2:], pads), 0)


def _replace(graph: Graph, node: Node) -> None:
    out = node.output[0]
    relu = graph.only_consumer(out)
    if relu is not None and relu.op_type == "Relu":
        out = relu.output[0]
        graph.replace(relu, [])
    else:
        relu = None
    new, parts = [], []
    for row, column in product((0, 1), repeat=2):
        new.append(_convolution(graph, node, row, column))
        if relu is not None:
            part = new[-1].output[0]
            new.append(graph.make("Relu", [part], graph.fresh(f"{part}/relu")))
        parts.append(new[-1].output[0])
    deep = graph.fresh(f"{out}/parities")
    new.append(graph.make("Concat", parts, deep, axis=1))
    new.append(graph.make("DepthToSpace", [deep], out, blocksize=2, mode="DCR"))
    graph.replace(node, new)


def _convolution(graph: Graph, node: Node, row: int, column: int) -> Node:
    """The convolution that makes the outputs of one parity."""
    weight = graph.constant(node.input[1])
    assert weight is not None, "only constant weights are taken apart"
    taps = weight.shape[2] // 2
    name = graph.add_constant(parity_taps(weight, row, column), f"{node.input[1]}/{row}{column}")
    before = [1 - row, 1 - column] if taps == 2 else [0, 0]
    behind = [row, column] if taps == 2 else [0, 0]
    out = graph.fresh(f"{node.output[0]}/{row}{column}")
    return graph.make(
        "Conv", [node.input[0], name, *node.input[2:]], out, kernel_shape=[taps, taps], pads=before + behind
    )
