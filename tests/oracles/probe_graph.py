"""The graph that doctor tries on every engine, built with the onnx package; the runtime carries its bytes.

On crops of one colour (r, g, b) it answers points (r, g), score b / 255 and spread b, by a road that every landmark
network takes, too: cast, transpose, two convolutions, a mean.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

SIDE = 16


def probe_onnx() -> bytes:
    """ONNX bytes: `images` u8[B,16,16,3] -> points f32[B,1,2], score f32[B,1], spread f32[B,1]."""
    ring = np.ones((3, 3), np.float32) / 8  # a mean of eight neighbours is exact in bf16, one of nine is not
    ring[1, 1] = 0
    centre = np.zeros((3, 3), np.float32)
    centre[1, 1] = 1
    first = np.zeros((3, 3, 3, 3), np.float32)
    first[0, 0], first[1, 1], first[2, 2] = centre, ring, centre
    constants = {
        "first": first,
        "second": np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1),
        "places": np.array([2, 3], np.int64),
        "row": np.array([-1, 1, 3], np.int64),
        "c0": np.array([0], np.int64),
        "c2": np.array([2], np.int64),
        "c3": np.array([3], np.int64),
        "one": np.array([-1, 1], np.int64),
        "white": np.array(255, np.float32),
    }
    nodes = [
        ("Cast", ["images"], "float", {"to": TensorProto.FLOAT}),
        ("Transpose", ["float"], "x", {"perm": [0, 3, 1, 2]}),
        ("Conv", ["x", "first"], "y", {}),
        ("Relu", ["y"], "z", {}),
        ("Conv", ["z", "second"], "maps", {}),
        ("ReduceMean", ["maps", "places"], "mean", {"keepdims": 0}),
        ("Reshape", ["mean", "row"], "colour", {}),
        ("Slice", ["colour", "c0", "c2", "c2"], "points", {}),
        ("Slice", ["colour", "c2", "c3", "c2"], "blue", {}),
        ("Reshape", ["blue", "one"], "spread", {}),
        ("Div", ["spread", "white"], "score", {}),
    ]
    f32 = TensorProto.FLOAT
    outputs = {"points": ["B", 1, 2], "score": ["B", 1], "spread": ["B", 1]}
    graph = helper.make_graph(
        [helper.make_node(kind, ins, [out], **how) for kind, ins, out, how in nodes],
        "probe",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["B", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info(name, f32, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()
