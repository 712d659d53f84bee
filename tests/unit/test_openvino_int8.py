"""OpenVINO runs a quantised file in 8 bits: a convolution whose 8-bit form loses nothing, so its points are known."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lmdeploy.backends.ort import OrtBackend

pytest.importorskip("openvino", reason="OpenVINO is an extra")
from lmdeploy.backends.openvino import OpenVINOBackend

STEP = np.float32(0.01)  # of the weights, which are whole numbers of it


def network(*, quantised: bool) -> bytes:
    """Bytes / 255 -> convolution -> Relu -> mean -> 2 points; input and weights are whole numbers of a step."""
    rng = np.random.default_rng(0)
    whole = rng.integers(-127, 128, (16, 3, 3, 3)).astype(np.int8)
    constants = {
        "mix": rng.normal(0, 0.1, (16, 4)).astype(np.float32),
        "places": np.array([2, 3], np.int64),
        "rows": np.array([-1, 2, 2], np.int64),
        "last": np.array([2], np.int64),
        "grey": np.float32(1 / 255),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["f"], ["y"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["y", "grey"], ["x"]),
    ]
    inputs = ["x", "w"]
    if quantised:
        constants |= {"whole": whole, "step": STEP, "none": np.int8(0), "zero": np.uint8(0)}
        nodes += [
            helper.make_node("QuantizeLinear", ["x", "grey", "zero"], ["bytes"]),
            helper.make_node("DequantizeLinear", ["bytes", "grey", "zero"], ["again"]),
            helper.make_node("DequantizeLinear", ["whole", "step", "none"], ["weights"]),
        ]
        inputs = ["again", "weights"]
    else:
        constants["w"] = whole.astype(np.float32) * STEP
    nodes += [
        helper.make_node("Conv", inputs, ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("ReduceMean", ["r", "places"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "mix"], ["flat"]),
        helper.make_node("Reshape", ["flat", "rows"], ["points"]),
        helper.make_node("ReduceMax", ["points", "last"], ["score"], keepdims=0),
        helper.make_node("Neg", ["score"], ["spread"]),
    ]
    shapes = {"points": ["B", 2, 2], "score": ["B", 2], "spread": ["B", 2]}
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in shapes.items()]
    source = helper.make_tensor_value_info("images", TensorProto.UINT8, ["B", 32, 32, 3])
    values = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "small", [source], outputs, values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def test_the_convolution_takes_bytes_and_the_points_are_those_of_the_float_network() -> None:
    images = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), np.uint8)
    backend = OpenVINOBackend(network(quantised=True), 1, "int8")
    assert backend.provider == "OpenVINO CPU int8"
    wanted = OrtBackend(network(quantised=False), 1, "cpu").run(images).points
    assert np.ptp(wanted) > 0.1
    np.testing.assert_allclose(backend.run(images).points, wanted, atol=1e-4)
    infos = [node.get_rt_info() for node in backend.batch[0].get_runtime_model().get_ordered_ops()]
    kinds = Counter((i["layerType"].astype(str), i["runtimePrecision"].astype(str)) for i in infos)
    assert kinds["Convolution", "u8"] + kinds["Convolution", "i8"] == 1
