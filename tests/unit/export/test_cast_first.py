"""The uint8 images reach nothing but a Cast, and the graph computes what it did."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from export.cast_first import cast_first


def graph(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    """images u8[B,4] -> out f32[...]."""
    source = helper.make_tensor_value_info("images", TensorProto.UINT8, ["B", 4])
    result = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["B", 4])
    zero = numpy_helper.from_array(np.array([0], np.int64), "zero")
    made = helper.make_graph(list(nodes), "g", [source], [result], [zero])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def node(op: str, inputs: list[str], output: str, **attributes: int) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [output], **attributes)


def answers(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (out,) = session.run(None, {"images": images})
    return out


def batch_times_pixels() -> onnx.ModelProto:
    """The batch size, read off the images before they are cast, times the pixels."""
    return graph(
        node("Shape", ["images"], "size", start=0, end=1),
        node("Cast", ["size"], "n", to=TensorProto.FLOAT),
        node("Cast", ["images"], "x", to=TensorProto.FLOAT),
        node("Mul", ["x", "n"], "out"),
    )


def test_a_shape_is_read_off_the_cast_and_the_numbers_stay() -> None:
    model = batch_times_pixels()
    images = np.arange(12, dtype=np.uint8).reshape(3, 4)
    before = answers(model, images)
    np.testing.assert_array_equal(before, images * 3.0)
    cast_first(model)
    np.testing.assert_array_equal(answers(model, images), before)
    assert [n.op_type for n in model.graph.node if "images" in n.input] == ["Cast"]


def test_a_graph_that_only_casts_is_left_alone() -> None:
    model = graph(node("Cast", ["images"], "x", to=TensorProto.FLOAT), node("Relu", ["x"], "out"))
    before = model.SerializeToString()
    cast_first(model)
    assert model.SerializeToString() == before


def test_what_is_no_shape_keeps_its_input() -> None:
    model = graph(node("Identity", ["images"], "same"), node("Cast", ["same"], "out", to=TensorProto.FLOAT))
    before = model.SerializeToString()
    cast_first(model)
    assert model.SerializeToString() == before
