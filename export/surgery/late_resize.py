"""1x1 convolutions of maps brought to one size mix the small maps before they are enlarged, to the same numbers.

HRNet's branches are read at the size of the finest one: y = W concat(x0, up(x1), up(x2), up(x3)) + b. Bilinear
enlarging acts on rows and columns and not on channels, so W up(x) = up(W x), and few cells are mixed in place of many:

    y = (W0 W1) concat(x0, up(x1)) + b + up(W2 x2) + up(W3 x3)

Enlarged are now the channels of y. Along the columns that is x @ Cx; along the rows all maps in one product and summed
by it, [R2 R3] @ concat over rows(W2 x2 C2, W3 x3 C3). It costs a cell of y as many multiply-adds as there are rows in
the small maps; mixing late pays where a map has more than twice as many channels as rows.

That is for the many convolutions that direct_cells makes. A single one, HM's head, would gain as well in ONNX Runtime
(the whole of HM-HRNet 1.05 times as fast) but not in OpenVINO with bf16 (0.93 times): there convolutions cost next to
nothing, and the products want their maps in another order.

Measured with ONNX Runtime, one thread, processor time: TF-HRNet at 256 px 1.22 times as fast as before all rewrites of
attention, 1.07 times with them but without this and direct_cells. OpenVINO: bf16 1.3 times, fp32 1.2 times.
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
    """A Concat of maps."""

    node: Node
    parts: list[Part]


def rewrite(graph: Graph) -> int:
    """Replace such convolutions where several read the same maps; of how many groups of maps."""
    found = [joined for joined in joined_maps(graph) if len(graph.consumers(joined.node.output[0])) > 1]
    for joined in found:
        nodes = Nodes(graph, joined.node.output[0])
        for reader in graph.consumers(joined.node.output[0]):
            _replace(graph, nodes, reader, joined)
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
    return [joined for joined in found if any(part.late for part in joined.parts)]


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


def _replace(graph: Graph, nodes: Nodes, conv: Node, joined: Joined) -> None:
    parts, nodes.made = joined.parts, []
    weight = graph.constant(conv.input[1])
    assert weight is not None, "only constant weights are taken apart"
    rows, columns = max(part.rows for part in parts), max(part.columns for part in parts)
    starts = np.cumsum([part.channels for part in parts])[:-1]
    early, weights, stacked, turned = [], [], [], []
    for part, own in zip(parts, np.split(weight, starts, axis=1), strict=True):
        if not part.late:
            early.append(_enlarged(nodes, part, rows, columns))
            weights.append(own)
            continue
        mixed = nodes.op("Conv", part.name, nodes.numbers(own), kernel_shape=[1, 1])
        stacked.append(nodes.op("MatMul", mixed, nodes.numbers(enlarging(part.columns, columns).T)))
        turned.append(enlarging(part.rows, rows))
    below = nodes.op("Concat", *stacked, axis=2) if len(stacked) > 1 else stacked[0]
    below = nodes.op("MatMul", nodes.numbers(np.concatenate(turned, axis=1)), below)
    above = nodes.op("Concat", *early, axis=1) if len(early) > 1 else early[0]
    mixed = nodes.op("Conv", above, nodes.numbers(np.concatenate(weights, 1)), *conv.input[2:], kernel_shape=[1, 1])
    graph.replace(conv, [*nodes.made, graph.make("Add", [mixed, below], conv.output[0])])


def _enlarged(nodes: Nodes, part: Part, rows: int, columns: int) -> str:
    if (part.rows, part.columns) == (rows, columns):
        return part.name
    wide = nodes.op("MatMul", part.name, nodes.numbers(enlarging(part.columns, columns).T))
    return nodes.op("MatMul", nodes.numbers(enlarging(part.rows, rows)), wide)
