"""An ONNX network that was exported for one image size, made to take any size.

OpenCV's YuNet file of 2023 says 640 x 640, though nothing in its graph depends on that: every Reshape has a free side
and every Resize a factor. OpenCV 4 overrides the size by itself; ONNX Runtime, and OpenCV 5 with it, do not.
"""

from __future__ import annotations

from lmdeploy.wire import Changes, field, fields, message, replaced, text

# Numbers of fields in onnx.proto
GRAPH = 7  # of a model
INITIALIZER, INPUT, OUTPUT, VALUE_INFO = 5, 11, 12, 13  # of a graph
TENSOR_NAME = 8
NAME, TYPE = 1, 2  # of a value
TENSOR_TYPE, SHAPE = 1, 2  # of its type, and of a tensor's
DIM, DIM_NAME = 1, 2  # of a shape, and of a dim
SIDES = {2: b"height", 3: b"width"}  # of [B,C,H,W]


def with_free_sides(model: bytes) -> bytes:
    """The same network with inputs [B,C,height,width] and without stated sizes of what it computes.

    Errors: WireError where the bytes are no model. That nothing else fixes the size only running it can tell.
    """
    return replaced(memoryview(model), {GRAPH: _free_graph})


def _free_graph(graph: memoryview) -> bytes:
    constants = {_name(message(value), TENSOR_NAME) for number, value in fields(graph) if number == INITIALIZER}

    def free_input(info: memoryview) -> bytes:
        return bytes(info) if _name(info, NAME) in constants else _in_shape(info, {SHAPE: _free_shape})

    return replaced(
        graph, {INPUT: free_input, OUTPUT: lambda info: _in_shape(info, {SHAPE: _open_shape}), VALUE_INFO: None}
    )


def _in_shape(info: memoryview, change: Changes) -> bytes:
    """A value's description with its tensor type changed."""
    return replaced(info, {TYPE: lambda kind: replaced(kind, {TENSOR_TYPE: lambda tensor: replaced(tensor, change)})})


def _free_shape(shape: memoryview) -> bytes:
    dims = [value for number, value in fields(shape) if number == DIM]
    if len(dims) != 4:
        return bytes(shape)
    named = {place: field(DIM_NAME, name) for place, name in SIDES.items()}
    return b"".join(field(DIM, named.get(place, bytes(message(dim)))) for place, dim in enumerate(dims))


def _open_shape(shape: memoryview) -> bytes:
    """As many dims, none of which says a size."""
    return b"".join(field(DIM, b"") for number, _ in fields(shape) if number == DIM)


def _name(described: memoryview, number: int) -> str:
    names = [text(value) for found, value in fields(described) if found == number]
    return names[-1] if names else ""
