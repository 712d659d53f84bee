"""Protocol Buffers written field by field: another reader finds what was meant."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from lmdeploy.wire import WireError, field, fields, replaced

IR_VERSION, PRODUCER, GRAPH, GRAPH_NAME, GRAPH_DOC = 1, 2, 7, 2, 10


def a_model() -> onnx.ModelProto:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 300])
    graph = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "before", [value], [value], doc_string="long")
    return helper.make_model(graph, producer_name="p" * 200)


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 2**31, 2**63 - 1])
def test_numbers_and_texts_are_read_by_protobuf(number: int) -> None:
    read = onnx.ModelProto()
    read.ParseFromString(field(IR_VERSION, number) + field(PRODUCER, "é".encode() * 100))
    assert (read.ir_version, read.producer_name) == (number, "é" * 100)


def test_a_negative_number_survives() -> None:
    raw = onnx.ModelProto(model_version=-7).SerializeToString()
    assert replaced(memoryview(raw), {}) == raw


def test_fields_are_changed_left_out_and_left_alone() -> None:
    model = a_model()

    def renamed(graph: memoryview) -> bytes:
        return replaced(graph, {GRAPH_NAME: lambda old: bytes(old) + b" and after", GRAPH_DOC: None})

    read = onnx.load_from_string(replaced(memoryview(model.SerializeToString()), {GRAPH: renamed}))
    model.graph.name = "before and after"
    model.graph.ClearField("doc_string")
    assert read == model


def test_a_number_is_no_message() -> None:
    with pytest.raises(WireError, match="a number stands where a message should"):
        replaced(memoryview(field(IR_VERSION, 5)), {IR_VERSION: bytes})


def test_what_is_written_is_read_by_fields() -> None:
    assert list(fields(memoryview(field(3, 300) + field(4, b"ab")))) == [(3, 300), (4, b"ab")]
