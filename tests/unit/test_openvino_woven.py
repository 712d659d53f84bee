"""Transposed convolutions put together again: PyTorch's numbers, and only what the exporter has taken apart."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from export.surgery import transposed_conv
from export.surgery.graph import Graph

openvino = pytest.importorskip("openvino", reason="OpenVINO is an extra")
from lmdeploy.backends.openvino import fold, the_core  # noqa: E402 - not without openvino
from lmdeploy.backends.openvino_woven import unweave  # noqa: E402 - not without openvino

SIDE, DEEP, OUT = 6, 5, 3


def taken_apart(layer: nn.ConvTranspose2d, relu: bool) -> onnx.ModelProto:
    """ONNX model f32[1,DEEP,SIDE,SIDE] -> the layer's output, after the exporter's surgery."""
    kernel, pad = layer.kernel_size[0], int(layer.padding[0])
    constants = {"w": layer.weight.detach().numpy()}
    if layer.bias is not None:
        constants["b"] = layer.bias.detach().numpy()
    out = "y0" if relu else "y"
    nodes = [
        helper.make_node(
            "ConvTranspose", ["x", *constants], [out], kernel_shape=[kernel] * 2, strides=[2, 2], pads=[pad] * 4
        )
    ]
    if relu:
        nodes.append(helper.make_node("Relu", [out], ["y"]))
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, DEEP, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, OUT, 2 * SIDE, 2 * SIDE])],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in constants.items()],
    )
    opened = Graph(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString())
    assert transposed_conv.rewrite(opened) == 1
    return onnx.load_model_from_string(opened.finish())


def read(model: onnx.ModelProto) -> Any:
    opened = the_core().read_model(BytesIO(model.SerializeToString()))
    fold(opened)
    return opened


def kinds(model: Any) -> set[str]:
    return {node.get_type_name() for node in model.get_ordered_ops()}


@pytest.mark.parametrize("relu", [False, True], ids=["plain", "relu"])
@pytest.mark.parametrize("bias", [False, True], ids=["", "bias"])
@pytest.mark.parametrize(("kernel", "pad"), [(4, 1), (2, 0)])
def test_it_computes_what_pytorch_s_transposed_convolution_does(kernel: int, pad: int, bias: bool, relu: bool) -> None:
    torch.manual_seed(kernel)
    layer = nn.ConvTranspose2d(DEEP, OUT, kernel, stride=2, padding=pad, bias=bias)
    model = read(taken_apart(layer, relu))
    assert unweave(model) == 1
    assert "ConvolutionBackpropData" in kinds(model)
    assert not {"DepthToSpace", "Concat", "Convolution"} & kinds(model)
    x = torch.randn(1, DEEP, SIDE, SIDE)
    with torch.no_grad():
        wanted = layer(x).relu() if relu else layer(x)
    compiled = the_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(compiled([x.numpy()])[0], wanted.numpy(), atol=1e-5)


def changed(model: onnx.ModelProto, how: str) -> onnx.ModelProto:
    """The model with something that no transposed convolution has."""
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    if how == "pads":
        next(item for item in convolutions[1].attribute if item.name == "pads").ints[:] = [1, 1, 0, 0]
    elif how == "bias":
        other = numpy_helper.from_array(np.ones(OUT, np.float32), "other")
        model.graph.initializer.append(other)
        convolutions[2].input[2] = "other"
    elif how == "relu":
        convolutions[3].output[0], out = "before", convolutions[3].output[0]
        model.graph.node.insert(4, helper.make_node("Abs", ["before"], [out]))
    else:
        weave = next(node for node in model.graph.node if node.op_type == "DepthToSpace")
        next(item for item in weave.attribute if item.name == "mode").s = b"CRD"
    return model


@pytest.mark.parametrize("how", ["pads", "bias", "relu", "order"])
def test_anything_else_stays_as_it_is(how: str) -> None:
    model = read(changed(taken_apart(nn.ConvTranspose2d(DEEP, OUT, 4, stride=2, padding=1), relu=False), how))
    assert unweave(model) == 0
    assert "DepthToSpace" in kinds(model)
