"""What of a graph decides whether TensorRT's parser takes it: operators, their types, and what restrictions speak of.

A summary is small and readable, so that it can stand as a golden beside a graph that takes minutes to export.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

SHORT = {"FLOAT": "FP32", "FLOAT16": "FP16", "BFLOAT16": "BF16", "FLOAT8E4M3FN": "FP8"}
REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
DATA = {"Where": 1}
"""Number of the input whose type an operator's list of types is about, where it is not the first."""


class Graph:
    """An ONNX graph with the type and rank of every tensor, and the values of the constant ones."""

    def __init__(self, content: bytes) -> None:
        model = onnx.load_from_string(content)
        self.opset = next(o.version for o in model.opset_import if o.domain == "")
        self.domains = sorted({node.domain for node in model.graph.node} | {o.domain for o in model.opset_import})
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
        self.nodes, self.inputs = list(inferred.node), [i.name for i in inferred.input]
        self.constants = {i.name: numpy_helper.to_array(i) for i in inferred.initializer}
        self.types = {i.name: i.data_type for i in inferred.initializer}
        for node in self.nodes:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        known = [*inferred.value_info, *inferred.input, *inferred.output]
        self.types |= {v.name: v.type.tensor_type.elem_type for v in known}
        self.ranks = {v.name: len(v.type.tensor_type.shape.dim) for v in known}

    def type_of(self, name: str) -> str:
        """In the operator table's words."""
        word = TensorProto.DataType.Name(self.types.get(name, 0))
        return SHORT.get(word, word)


def attributes(node: NodeProto) -> dict[str, Any]:
    """Name to value; strings as str."""
    values = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in values.items()}


def _axes(at: int) -> Callable[[Graph, NodeProto], dict[str, Any]]:
    """How input number `at` is given: a restriction says that it must be in the file."""

    def told(graph: Graph, node: NodeProto) -> dict[str, Any]:
        name = node.input[at] if len(node.input) > at else ""
        return {"axes": "none" if not name else "constant" if name in graph.constants else "computed"}

    return told


def _pool(graph: Graph, node: NodeProto) -> dict[str, Any]:
    values = attributes(node)
    outputs = len([name for name in node.output if name])
    return {"rank": graph.ranks[node.input[0]], "dilations": list(values.get("dilations", [])), "outputs": outputs}


def _zero_point(graph: Graph, node: NodeProto) -> dict[str, Any]:
    name = node.input[2] if len(node.input) > 2 else ""
    if not name:
        return {"zero_point": "none"}
    value = graph.constants.get(name)
    return {"zero_point": "computed" if value is None else "zero" if not np.any(value) else "other"}


def _top_k(graph: Graph, node: NodeProto) -> dict[str, Any]:
    k = graph.constants.get(node.input[1])
    return {"k": None if k is None else int(k.item()), "sorted": attributes(node).get("sorted", 1)}


def _resize(graph: Graph, node: NodeProto) -> dict[str, Any]:
    values = attributes(node)
    defaults = {
        "mode": "nearest",
        "coordinate_transformation_mode": "half_pixel",
        "nearest_mode": "round_prefer_floor",
        "antialias": 0,
        "keep_aspect_ratio_policy": "stretch",
        "axes": None,
    }
    return {name: values.get(name, default) for name, default in defaults.items()}


TOLD: dict[str, Callable[[Graph, NodeProto], dict[str, Any]]] = {
    "AveragePool": _pool,
    "MaxPool": _pool,
    "Constant": lambda _, node: {"given": sorted(attributes(node))},
    "DequantizeLinear": _zero_point,
    "QuantizeLinear": _zero_point,
    "GridSample": lambda graph, node: {"rank": graph.ranks[node.input[0]]},
    "LayerNormalization": lambda _, node: {"outputs": len([name for name in node.output if name])},
    "Pad": _axes(3),
    "Resize": _resize,
    "ScatterND": lambda _, node: {"reduction": attributes(node).get("reduction", "none")},
    "Slice": _axes(3),
    "Squeeze": _axes(1),
    "TopK": _top_k,
    "Unsqueeze": _axes(1),
} | {f"Reduce{kind}": _axes(1) for kind in REDUCTIONS}
"""What each restricted operator's restriction speaks of."""


def summarise(content: bytes) -> dict[str, Any]:
    """Opset, domains, what the images go into, and of each operator its number, types and what TOLD says."""
    graph = Graph(content)
    counts: Counter[str] = Counter()
    types: dict[str, set[str]] = defaultdict(set)
    told: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for node in graph.nodes:
        name = node.op_type
        counts[name] += 1
        types[name].update(_types(graph, node))
        if name in TOLD:
            facts = TOLD[name](graph, node)
            told[name].extend([] if facts in told[name] else [facts])
    pictures = {"images", "frames"}
    first = [node.op_type for node in graph.nodes if pictures.intersection(node.input)]
    operators = {
        name: {"count": counts[name], "types": sorted(types[name]), **({"told": told[name]} if told[name] else {})}
        for name in sorted(counts)
    }
    return {"opset": graph.opset, "domains": graph.domains, "images_into": first, "operators": operators}


def _types(graph: Graph, node: NodeProto) -> set[str]:
    """Types that the operator's list must have: of its data, for a Cast and what makes data also of its output."""
    found = set()
    if node.op_type in ("Cast", "Constant", "ConstantOfShape"):
        found.add(graph.type_of(node.output[0]))
    if node.op_type not in ("Constant", "ConstantOfShape"):
        found.add(graph.type_of(node.input[DATA.get(node.op_type, 0)]))
    return found


def clips_after_products(content: bytes) -> list[str]:
    """Clips to [0, x] of a matrix product plus a bias: TensorRT 10 is known to forget their upper bound."""
    graph = Graph(content)
    made_by = {name: node for node in graph.nodes for name in node.output}

    def is_product(name: str, steps: int) -> bool:
        node = made_by.get(name)
        if node is None or (node.op_type == "Add" and steps == 0):
            return False
        return node.op_type in ("MatMul", "Gemm") or (
            node.op_type == "Add" and any(is_product(inner, steps - 1) for inner in node.input)
        )

    clips = [node for node in graph.nodes if node.op_type == "Clip" and len(node.input) == 3 and node.input[2]]
    zero = [n for n in clips if n.input[1] in graph.constants and not np.any(graph.constants[n.input[1]])]
    return [node.name for node in zero if is_product(node.input[0], 1)]
