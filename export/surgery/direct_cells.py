"""Matrix products of the cells of a 1x1 convolution become convolutions of what it reads, to the same numbers.

    A (W x + b) = (A W) x + A b        mean over cells of (W x + b) = W mean(x) + b

That is more work, not less, unless the products are cheap to take of x: TF with an HRNet projects four joined maps to
D channels, from which each decoder layer takes keys and values. Straight from the maps, each is such a convolution as
late_resize makes cheap (for W18 at 256 px a third of the multiply-adds of the product), and the projection is gone.
Enlarging by a whole factor between cell centres keeps a map's mean, so that no map is enlarged for the mean.

Measured together with late_resize, see there.
"""

from __future__ import annotations

import numpy as np

from export.surgery import late_resize
from export.surgery.graph import Graph, Node, attribute
from export.surgery.nodes import Nodes
from lmdeploy.types import Array


def rewrite(graph: Graph) -> int:
    """Replace products of cells behind a convolution of joined maps; how many convolutions went."""
    found = []
    for joined in late_resize.joined_maps(graph):
        conv = graph.only_consumer(joined.node.output[0])
        flat = None if conv is None else graph.only_consumer(conv.output[0])
        if conv is None or flat is None or flat.op_type != "Reshape" or conv.output[0] in graph.outputs:
            continue
        readers = graph.consumers(flat.output[0])
        if flat.output[0] not in graph.outputs and all(_is_product(graph, n) or _is_mean(graph, n) for n in readers):
            found.append((joined, conv, readers))
    for joined, conv, readers in found:
        weight, bias = _of(graph, conv)
        nodes = Nodes(graph, conv.output[0])
        for reader in readers:
            make = _product if reader.op_type == "MatMul" else _mean
            nodes.made = []
            last = make(graph, nodes, reader, joined, (weight, bias))
            graph.replace(reader, [*nodes.made, last])
    graph.drop_unused()
    return len(found)


def _of(graph: Graph, conv: Node) -> tuple[Array, Array]:
    """W f[D,C] and b f[D]."""
    weight = graph.constant(conv.input[1])
    bias = graph.constant(conv.input[2]) if len(conv.input) == 3 else None
    assert weight is not None, "late_resize.joined_maps gives convolutions with constant weights"
    return weight[:, :, 0, 0], np.zeros(len(weight), np.float32) if bias is None else bias


def _is_product(graph: Graph, node: Node) -> bool:
    matrix = graph.constant(node.input[0]) if node.op_type == "MatMul" else None
    return matrix is not None and matrix.ndim == 2


def _is_mean(graph: Graph, node: Node) -> bool:
    axes = graph.constant(node.input[1]) if node.op_type == "ReduceMean" and len(node.input) == 2 else None
    return axes is not None and axes.tolist() == [2] and bool(attribute(node, "keepdims", 1))


def _product(
    graph: Graph, nodes: Nodes, node: Node, joined: late_resize.Joined, projection: tuple[Array, Array]
) -> Node:
    """A (W x + b) f[B,O,T]."""
    matrix, (weight, bias) = graph.constant(node.input[0]), projection
    assert matrix is not None, "asked of products with a constant"
    both = nodes.numbers((matrix @ weight)[:, :, None, None])
    mixed = nodes.op("Conv", joined.node.output[0], both, nodes.numbers(matrix @ bias), kernel_shape=[1, 1])
    return graph.make("Reshape", [mixed, nodes.whole([0, len(matrix), -1])], node.output[0])


def _mean(graph: Graph, nodes: Nodes, node: Node, joined: late_resize.Joined, projection: tuple[Array, Array]) -> Node:
    """The mean f[B,D,1] over cells of W x + b."""
    weight, bias = projection
    means = [nodes.op("ReduceMean", part.name, nodes.whole([2, 3]), keepdims=1) for part in joined.parts]
    every = nodes.op("Reshape", nodes.op("Concat", *means, axis=1), nodes.whole([0, -1]))
    found = nodes.op("Add", nodes.op("MatMul", every, nodes.numbers(weight.T)), nodes.numbers(bias))
    return graph.make("Reshape", [found, nodes.whole([0, -1, 1])], node.output[0])
