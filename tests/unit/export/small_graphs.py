"""Small ONNX graphs for rewrites, and what ONNX's own reference says of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from lmdeploy.types import Array


def graph(
    nodes: list[tuple[str, list[str], str, dict[str, Any]]],
    constants: dict[str, Array],
    inputs: dict[str, list[Any]],
    outputs: list[str],
) -> bytes:
    """A float model of opset 20 (an input `images` is uint8); outputs' shapes are inferred."""

    def info(name: str, shape: list[Any] | None) -> onnx.ValueInfoProto:
        kind = TensorProto.UINT8 if name == "images" else TensorProto.FLOAT
        return helper.make_tensor_value_info(name, kind, shape)

    body = helper.make_graph(
        [helper.make_node(kind, ins, [out], name=f"n_{out}", **more) for kind, ins, out, more in nodes],
        "small",
        [info(name, shape) for name, shape in inputs.items()],
        [info(name, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    inferred = onnx.shape_inference.infer_shapes(model)
    assert all(o.type.tensor_type.HasField("shape") for o in inferred.graph.output)
    return inferred.SerializeToString()


def by_reference(model: bytes, feeds: dict[str, Array]) -> list[Array]:
    """All outputs from ONNX's reference implementation, which shares no code with ONNX Runtime."""
    return ReferenceEvaluator(onnx.load_from_string(model)).run(None, feeds)


def by_runtime(model: bytes, feeds: dict[str, Array]) -> list[Array]:
    """All outputs from ONNX Runtime."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def kinds(model: bytes) -> list[str]:
    """Operators in order."""
    return [node.op_type for node in onnx.load_from_string(model).graph.node]
