"""A small convolutional graph with the operators that exports have: for what damages graphs."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def conv_onnx(size: int, metadata: dict[str, str]) -> bytes:
    """`images` u8[B,S,S,3] -> points [B,3,2], score, spread; convolved, pooled, enlarged, padded and cut."""
    rng = np.random.default_rng(0)
    constants = {
        "scale": np.float32(255),
        "w1": rng.normal(0, 0.3, (4, 3, 3, 3)).astype(np.float32),
        "w2": rng.normal(0, 0.3, (4, 4, 2, 2)).astype(np.float32),
        "w3": rng.normal(0, 0.3, (3, 4, 1, 1)).astype(np.float32),
        "none": np.array([], np.float32),
        "zoom": np.array([1, 1, 2, 2], np.float32),
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
        "from": np.array([1, 1], np.int64),
        "to": np.array([-1, -1], np.int64),
        "axes": np.array([2, 3], np.int64),
        "two": np.array([1, 1, 2], np.int64),
        "last": np.array([2], np.int64),
        "first": np.array([0], np.int64),
        "step": np.float32(0.1),
        "zero": np.uint8(0),
    }
    nodes = [
        ("Cast", ["images"], "f", {"to": TensorProto.FLOAT}),
        ("Div", ["f", "scale"], "unit", {}),
        ("Transpose", ["unit"], "x", {"perm": [0, 3, 1, 2]}),
        ("Conv", ["x", "w1"], "c1", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2], "group": 1}),
        ("Relu", ["c1"], "r1", {}),
        ("MaxPool", ["r1"], "p1", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("ConvTranspose", ["p1", "w2"], "t1", {"kernel_shape": [2, 2], "strides": [2, 2], "group": 1}),
        ("Resize", ["t1", "none", "zoom"], "big", {"mode": "linear"}),
        ("Pad", ["big", "pads"], "padded", {"mode": "constant"}),
        ("Slice", ["padded", "from", "to", "axes"], "cut", {}),
        ("Conv", ["cut", "w3"], "maps", {}),
        ("QuantizeLinear", ["maps", "step", "zero"], "q", {}),
        ("DequantizeLinear", ["q", "step", "zero"], "dq", {}),
        ("ReduceMean", ["dq", "axes"], "mean", {"keepdims": 0}),
        ("Sigmoid", ["mean"], "score", {}),
        ("Unsqueeze", ["score", "last"], "one", {}),
        ("Expand", ["one", "two"], "points", {}),
        ("Shape", ["score"], "shape", {}),
        ("ConstantOfShape", ["shape"], "spread", {"value": numpy_helper.from_array(np.ones(1, np.float32))}),
    ]
    outputs = {"points": ["B", 3, 2], "score": ["B", 3], "spread": ["B", 3]}
    graph = helper.make_graph(
        [helper.make_node(op, ins, [out], **attributes) for op, ins, out, attributes in nodes],
        "conv",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["B", size, size, 3])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())
