"""What depends on no input is computed once and stored: split and turned weights, positions, shapes that are known.

Runtimes fold most of this when they load a file, each in its own way; a folded file shows precision and rewrites the
weights as weights.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from export.surgery.graph import Graph, Node
from lmdeploy.types import Array

KEPT = ("DequantizeLinear", "QuantizeLinear")  # an 8-bit file says its steps; folded it would be a float file again


def fold(graph: Graph) -> int:
    """Replace every node whose inputs are all constant by what it gives; how many."""
    known, found = set(graph.initialisers), []
    for node in graph.nodes:
        inside = all(name in known for name in node.input if name)
        if inside and node.op_type not in KEPT and not set(node.output) & set(graph.outputs):
            found.append(node)
            known.update(node.output)
    needed = [name for node in found for name in node.output if any(r not in found for r in graph.consumers(name))]
    for name, value in zip(needed, _values(graph, found, needed), strict=True):
        graph.set_constant(name, value)
    graph.nodes = [node for node in graph.nodes if node not in found]
    return len(found)


def _values(graph: Graph, nodes: list[Node], names: list[str]) -> list[Array]:
    """What constant nodes give, from ONNX's own reference implementation."""
    if not names:
        return []
    read = {name for node in nodes for name in node.input}
    outputs = [helper.make_tensor_value_info(name, onnx.TensorProto.UNDEFINED, None) for name in names]
    weights = [tensor for name, tensor in graph.initialisers.items() if name in read]
    body = helper.make_graph(nodes, "constants", [], outputs, weights)
    model = helper.make_model(body, opset_imports=graph.model.opset_import, ir_version=graph.model.ir_version)
    return [np.asarray(value) for value in ReferenceEvaluator(model).run(names, {})]
