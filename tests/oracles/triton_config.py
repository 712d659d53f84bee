"""Triton's model_config.proto, as far as our config.pbtxt goes, for Google's own reader of the text format.

Field names, numbers and types are those of the published file; tests/triton compares with the whole of it.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory, text_format

STRING, INT32, INT64, UINT64, MESSAGE, ENUM = 9, 5, 3, 4, 11, 14
ENUMS = {
    "DataType": {"TYPE_INVALID": 0, "TYPE_UINT8": 2, "TYPE_FP32": 11},
    "Kind": {"KIND_AUTO": 0, "KIND_GPU": 1, "KIND_CPU": 2, "KIND_MODEL": 3},
}
# message: {field: (number, type, repeated, name of the message or enum)}
MESSAGES = {
    "Input": {
        "name": (1, STRING, False, ""),
        "data_type": (2, ENUM, False, "DataType"),
        "dims": (4, INT64, True, ""),
    },
    "Output": {
        "name": (1, STRING, False, ""),
        "data_type": (2, ENUM, False, "DataType"),
        "dims": (3, INT64, True, ""),
    },
    "Group": {"count": (2, INT32, False, ""), "kind": (4, ENUM, False, "Kind")},
    "Batching": {
        "preferred_batch_size": (1, INT32, True, ""),
        "max_queue_delay_microseconds": (2, UINT64, False, ""),
    },
    "ModelConfig": {
        "name": (1, STRING, False, ""),
        "backend": (17, STRING, False, ""),
        "max_batch_size": (4, INT32, False, ""),
        "input": (5, MESSAGE, True, "Input"),
        "output": (6, MESSAGE, True, "Output"),
        "instance_group": (7, MESSAGE, True, "Group"),
        "dynamic_batching": (11, MESSAGE, False, "Batching"),
    },
}


def parse(text: str) -> dict[str, Any]:
    """Fields of a config.pbtxt by name, enums by their words; ParseError for what the format is not."""
    file = descriptor_pb2.FileDescriptorProto(name="triton_subset.proto", package="subset", syntax="proto3")
    for name, values in ENUMS.items():
        enum = file.enum_type.add(name=name)
        for word, number in values.items():
            enum.value.add(name=word, number=number)
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, repeated, of) in fields.items():
            added = message.field.add(name=field, number=number, type=kind, label=3 if repeated else 1)
            if of:
                added.type_name = f".subset.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    made = message_factory.GetMessageClass(pool.FindMessageTypeByName("subset.ModelConfig"))()
    text_format.Parse(text, made)
    return dict(json_format.MessageToDict(made, preserving_proto_field_name=True))
