"""1x1 convolutions of maps brought to one size mix the small maps before they are enlarged, to the same numbers.

HRNet's branches are read at the size of the finest one: y = W concat(x0, up(x1), up(x2), up(x3)) + b. Bilinear
enlarging acts on rows and columns and not on channels, so W up(x) = up(W x), and few cells are mixed in place of many:

    y = (W0 W1) concat(x0, up(x1)) + b + up(W2 x2) + up(W3 x3)

Enlarged are now the channels of y. It pays where a map has more than twice as many channels as rows.

Where several convolutions read the same maps (direct_cells makes such) enlarging is written as matrix products, which
cost a cell of y as many multiply-adds as there are rows in the small maps: x @ Cx along the columns, and along the
rows all maps in one product, which sums them, too: [R2 R3] @ concat over rows(W2 x2 C2, W3 x3 C3). ONNX Runtime's
Resize takes longer. A single one keeps its Resizes: OpenVINO in bf16 would lose by the products (0.95 times as fast
with HM-HRNet), for convolutions cost it next to nothing and the products want maps in another order.

Measured on one thread, processor time, 256 px. HM-HRNet: ONNX Runtime 1.04 times as fast, OpenVINO 1.03 times in
fp32, 1.00 in bf16. TF-HRNet, with attention and direct_cells: ONNX Runtime 1.2 times (1.07 by attention alone),
OpenVINO 1.2 times in fp32, 1.3 in bf16.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import shape_inference

from export.surgery.graph import Graph, Node, attribute
from export.surgery.nodes import Nodes
from lmdeploy.types import Array


@dataclass(frozen=True, slots=True)
class Part:
    """One of the maps that are brought together: `name` f[B,C,h,w] before it is enlarged."""

    name: str
    channels: int
    rows: int
    columns: int

    @property
    def late(self) -> bool:
        """Whether it is mixed before it is enlarged."""
        return 2 * self.rows < self.channels


@dataclass(frozen=True, slots=True)
class Joined:
    """A Concat of maps, and what it joins."""

    node: Node
    parts: list[Part]

    @property
    def rows(self) -> int:
        """Of the result."""
        return max(part.rows for part in self.parts)

    @property
    def columns(self) -> int:
        """Of the result."""
        return max(part.columns for part in self.parts)

    @property
    def by_whole_factors(self) -> bool:
        """Whether each map is enlarged by a whole factor, which keeps its mean."""
        return all(self.rows % part.rows == 0 == self.columns % part.columns for part in self.parts)


def rewrite(graph: Graph) -> int:
    """Replace such convolutions; of how many groups of maps."""
    found = joined_maps(graph)
    for joined in found:
        readers, nodes = graph.consumers(joined.node.output[0]), Nodes(graph, joined.node.output[0])
        for reader in readers:
            _replace(graph, nodes, reader, joined, by_products=len(readers) > 1)
    graph.drop_unused()
    return len(found)


def joined_maps(graph: Graph) -> list[Joined]:
    """Maps of which some are worth mixing late, and which 1x1 convolutions alone read."""
    found = []
    for node in graph.of_type("Concat"):
        makers = [graph.producer(name) for name in node.input]
        readers = graph.consumers(node.output[0])
        if (
            attribute(node, "axis") == 1
            and any(maker is not None and _is_enlarging(maker) for maker in makers)
            and node.output[0] not in graph.outputs
            and readers
            and all(_is_mixing(graph, reader) for reader in readers)
        ):
            found.append(Joined(node, _parts(graph, node)))
    return [joined for joined in found if any(part.late for part in joined.parts) and joined.by_whole_factors]


def enlarging(small: int, large: int) -> Array:
    """f32[large,small]: bilinear between cell centres, the border's cells kept beyond them."""
    place = np.clip((np.arange(large) + 0.5) * small / large - 0.5, 0, small - 1)
    distance = np.abs(place[:, None] - np.arange(small))
    return np.asarray(np.maximum(0, 1 - distance), np.float32)


def _is_enlarging(node: Node) -> bool:
    return (
        node.op_type == "Resize"
        and attribute(node, "mode") == b"linear"
        and attribute(node, "coordinate_transformation_mode", b"half_pixel") == b"half_pixel"
        and not attribute(node, "antialias", 0)
        and attribute(node, "axes") is None
    )


def _is_mixing(graph: Graph, node: Node) -> bool:
    weight = graph.constant(node.input[1]) if node.op_type == "Conv" else None
    return (
        weight is not None
        and weight.shape[2:] == (1, 1)
        and attribute(node, "group", 1) == 1
        and set(attribute(node, "strides", [1])) == {1}
        and set(attribute(node, "pads", [0])) == {0}
        and attribute(node, "auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
    )


def _parts(graph: Graph, node: Node) -> list[Part]:
    """Maps that a Concat joins, as they were before they were enlarged; none where a size is not known."""
    inferred = shape_inference.infer_shapes(onnx.ModelProto.FromString(graph.assemble()), data_prop=True)
    values = inferred.graph.value_info
    shapes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in values}
    found = []
    for name in node.input:
        made = graph.producer(name)
        source = made.input[0] if made is not None and _is_enlarging(made) else name
        shape = shapes.get(source, [])
        if len(shape) != 4 or 0 in shape[1:]:
            return []
        found.append(Part(source, *shape[1:]))
    return found


def _replace(graph: Graph, nodes: Nodes, conv: Node, joined: Joined, *, by_products: bool) -> None:
    weight, nodes.made = graph.constant(conv.input[1]), []
    assert weight is not None, "only constant weights are taken apart"
    starts = np.cumsum([part.channels for part in joined.parts])[:-1]
    early, weights, late = [], [], []
    for part, name, own in zip(joined.parts, joined.node.input, np.split(weight, starts, axis=1), strict=True):
        if part.late:
            late.append((part, nodes.op("Conv", part.name, nodes.numbers(own), kernel_shape=[1, 1])))
        else:
            early.append(_by_products(nodes, [(part, part.name)], joined) if by_products else name)
            weights.append(own)
    below = (_by_products if by_products else _by_resizes)(nodes, late, joined)
    above = nodes.op("Concat", *early, axis=1) if len(early) > 1 else early[0]
    mixed = nodes.op("Conv", above, nodes.numbers(np.concatenate(weights, 1)), *conv.input[2:], kernel_shape=[1, 1])
    graph.replace(conv, [*nodes.made, graph.make("Add", [mixed, below], conv.output[0])])


def _by_resizes(nodes: Nodes, maps: list[tuple[Part, str]], joined: Joined) -> str:
    """The sum of maps at the full size."""
    how = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    total = ""
    for part, name in maps:
        factors = nodes.numbers([1, 1, joined.rows / part.rows, joined.columns / part.columns])
        wide = nodes.op("Resize", name, "", factors, **how)
        total = nodes.op("Add", total, wide) if total else wide
    return total


def _by_products(nodes: Nodes, maps: list[tuple[Part, str]], joined: Joined) -> str:
    """The same by two products, of which the second one sums."""
    if all((part.rows, part.columns) == (joined.rows, joined.columns) for part, _ in maps):
        return maps[0][1]
    wide = [nodes.op("MatMul", name, nodes.numbers(enlarging(part.columns, joined.columns).T)) for part, name in maps]
    stacked = nodes.op("Concat", *wide, axis=2) if len(wide) > 1 else wide[0]
    rows = np.concatenate([enlarging(part.rows, joined.rows) for part, _ in maps], axis=1)
    return nodes.op("MatMul", nodes.numbers(rows), stacked)
