"""Only a Cast may take the uint8 images: TensorRT's parser takes no other operator on that type.

The exporter reads the batch size off the graph's input where a network asks for it; the Cast's output has the same.
"""

from __future__ import annotations

import onnx

INPUT = "images"


def cast_first(model: onnx.ModelProto) -> None:
    """Give whatever else reads the images their float copy's shape, and put the Cast in front; numbers stay.

    Only Shape is rewired: it is the one operator whose answer does not depend on the type.
    """
    nodes = model.graph.node
    readers = [node for node in nodes if INPUT in node.input]
    casts = [node for node in readers if node.op_type == "Cast"]
    shapes = [node for node in readers if node.op_type == "Shape"]
    if not casts or not shapes:
        return
    first = onnx.NodeProto()
    first.CopyFrom(casts[0])
    nodes.remove(casts[0])
    nodes.insert(0, first)
    for node in shapes:
        node.input[0] = first.output[0]
