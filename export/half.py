"""An fp32 file with its body in half precision; normalisation, decoding and what half cannot hold stay fp32.

The body is what lies between the first convolution and the last convolution or layer norm, both included: the dense
head of a coordinate model stays fp32, because half has steps of 1/2048 near 1, an eighth of a pixel of a 256-px crop.
Softmax, layer norm and sums over many values inside the body are fp32 too. Each tensor that crosses is cast once, so
that the file is strongly typed as it stands.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, shape_inference

from export.surgery import constants
from export.surgery.graph import Graph, Node, attribute, reached, reaching

FLOAT_OPERATORS = frozenset(
    {"LayerNormalization", "InstanceNormalization", "Softmax", "ReduceMean", "ReduceSum", "ReduceL2", "Exp", "Log",
     "Pow", "Sqrt", "GlobalAveragePool",
     "Mul"}  # half products behind a transpose end ONNX Runtime 1.31 with a segmentation fault (its NCHWc pass)
)  # fmt: skip
NOT_VALUES = {"Resize": (1, 2)}  # inputs that are always fp32


def to_half(model: bytes) -> bytes:
    """The same network, its body in half precision."""
    graph = Graph(model)
    constants.fold(graph)
    floats = _float_tensors(graph)
    body = _body(graph)
    crossing = _Crossing(graph, floats)
    ordered: list[Node] = []
    for node in graph.nodes:
        casts = crossing.into_half(node) if node.name in body else crossing.into_float(node)
        ordered += [*casts, node]
    graph.nodes = ordered
    return graph.finish()


def _body(graph: Graph) -> set[str]:
    """Names of the nodes that compute in half."""
    first = graph.of_type("Conv", "ConvTranspose")
    last = graph.of_type("Conv", "ConvTranspose", "LayerNormalization")
    names = {node.name for node in first} | (reached(graph, first) & (reaching(graph, last) | _names(last)))
    return {node.name for node in graph.nodes if node.name in names and node.op_type not in FLOAT_OPERATORS}


def _names(nodes: list[Node]) -> set[str]:
    return {node.name for node in nodes}


def _float_tensors(graph: Graph) -> set[str]:
    """Names of the fp32 tensors."""
    inferred = shape_inference.infer_shapes(onnx.ModelProto.FromString(graph.assemble()))
    body = inferred.graph
    values = (*body.input, *body.value_info, *body.output)
    found = {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    return found | {tensor.name for tensor in body.initializer if tensor.data_type == TensorProto.FLOAT}


class _Crossing:
    """Gives each node its inputs in the right precision, with one cast a tensor."""

    def __init__(self, graph: Graph, floats: set[str]) -> None:
        self.graph, self.floats = graph, floats
        self.made_half: set[str] = set()
        self.casts: dict[str, str] = {}  # tensor -> the same in the other precision

    def into_half(self, node: Node) -> list[Node]:
        """Casts to put before a node that computes in half."""
        new: list[Node] = []
        for i, name in enumerate(node.input):
            if name in self.floats and name not in self.made_half and i not in NOT_VALUES.get(node.op_type, ()):
                node.input[i] = self._other(name, TensorProto.FLOAT16, new)
        if node.op_type == "Cast" and attribute(node, "to") == TensorProto.FLOAT:
            node.attribute[0].i = TensorProto.FLOAT16
        self.made_half.update(name for name in node.output if name in self.floats)
        return new

    def into_float(self, node: Node) -> list[Node]:
        """Casts to put before a node that computes in fp32."""
        new: list[Node] = []
        for i, name in enumerate(node.input):
            if name in self.made_half:
                node.input[i] = self._other(name, TensorProto.FLOAT, new)
        return new

    def _other(self, name: str, to: int, new: list[Node]) -> str:
        if name not in self.casts:
            value, suffix = self.graph.constant(name), "half" if to == TensorProto.FLOAT16 else "single"
            if value is not None:
                self.casts[name] = self.graph.add_constant(value.astype(np.float16), f"{name}/{suffix}")
            else:
                self.casts[name] = self.graph.fresh(f"{name}/{suffix}")
                new.append(self.graph.make("Cast", [name], self.casts[name], to=to))
        return self.casts[name]
