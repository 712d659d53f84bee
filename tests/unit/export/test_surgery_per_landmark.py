"""Einsum with weights per landmark becomes a matrix product: the same numbers in any batch, other Einsums stay."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.surgery import operate
from export.surgery.graph import Graph

K, D, E = 5, 6, 7


def einsum_graph(equation: str) -> bytes:
    weights = np.random.default_rng(0).normal(size=(K, D, E)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Einsum", ["x", "w"], ["y"], equation=equation)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", K, D])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", None, None])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("equation", ["bki,kio->bko", "abc, acd -> abd".replace("acd", "bcd")])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_product_is_numpy_s(equation: str, batch: int) -> None:
    plain = einsum_graph(equation)
    model = operate(plain)
    assert [node.op_type for node in Graph(model).nodes] == ["Transpose", "MatMul", "Transpose"]
    x = np.random.default_rng(batch).normal(size=(batch, K, D)).astype(np.float32)
    weights = numpy_helper.to_array(onnx.ModelProto.FromString(plain).graph.initializer[0])
    wanted = np.stack([[x[b, k] @ weights[k] for k in range(K)] for b in range(batch)])
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": x})[0], wanted, atol=1e-5)


def test_another_einsum_stays() -> None:
    plain = einsum_graph("bki,kio->bok")
    assert operate(plain) == plain
