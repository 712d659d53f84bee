"""Where OpenVINO's two models meet: what the last convolutions write crosses as float32, all else as bf16, turned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

openvino = pytest.importorskip("openvino", reason="OpenVINO is an extra")
from openvino import opset13 as op  # noqa: E402 - not without openvino

from lmdeploy.backends.openvino import the_core  # noqa: E402 - not without openvino
from lmdeploy.backends.openvino_split import Halves, split  # noqa: E402 - not without openvino
from lmdeploy.types import F32  # noqa: E402 - not without openvino


def convolved(source: Any, channels: int, seed: int) -> Any:
    weight = np.random.default_rng(seed).normal(
        0, 0.3, (channels, source.get_output_partial_shape(0)[1].get_length(), 1, 1)
    )
    return op.convolution(source, op.constant(weight.astype(np.float32)), [1, 1], [0, 0], [0, 0], [1, 1])


def enlarged(source: Any, channels: int, seed: int) -> Any:
    depth = source.get_output_partial_shape(0)[1].get_length()
    weight = np.random.default_rng(seed).normal(0, 0.3, (depth, channels, 2, 2)).astype(np.float32)
    return op.convolution_backprop_data(source, op.constant(weight), [2, 2])


def network(last: str, normed: bool = False) -> Any:
    """A model with a map that passes by the last layer; last: conv or deconv; normed: a layer norm at the end."""
    x = op.parameter([1, 3, 8, 8], openvino.Type.f32)
    maps = op.relu(convolved(x, 6, 1))
    made = convolved(maps, 4, 2) if last == "conv" else enlarged(maps, 4, 2)
    biased = op.add(made, op.constant(np.full((1, 4, 1, 1), 0.7, np.float32)))
    if normed:
        biased = op.mvn(biased, op.constant(np.array([1], np.int64)), True, 1e-5, "inside_sqrt")
    passed = op.reduce_mean(maps, op.constant(np.array([2, 3], np.int64)))
    return openvino.Model([op.result(biased), op.result(passed)], [x], "network")


FP32 = {"INFERENCE_PRECISION_HINT": "f32"}


def in_fp32(halves: Halves, x: F32) -> list[F32]:
    """Both models one after the other, everything but the crossing in fp32."""
    body, tail = (the_core().compile_model(half, "CPU", FP32).create_infer_request() for half in halves)
    body.infer([x])
    for i in range(len(tail.model_inputs)):
        tail.set_input_tensor(i, body.get_output_tensor(i))
    tail.infer()
    return [np.array(tail.get_output_tensor(i).data) for i in range(len(tail.model_outputs))]


def crossing(halves: Halves) -> list[tuple[str, list[int]]]:
    ports = halves.body.outputs
    return [(port.get_element_type().get_type_name(), list(port.get_partial_shape().to_shape())) for port in ports]


def test_maps_of_a_last_convolution_cross_as_they_are_and_others_as_bf16_with_channels_last() -> None:
    model = network("conv")
    halves = split(model)
    assert halves is not None
    assert sorted(crossing(halves)) == [("bf16", [1, 8, 8, 6]), ("f32", [1, 4, 8, 8])]


def test_a_last_transposed_convolution_is_in_the_tail() -> None:
    model = network("deconv")
    halves = split(model)
    assert halves is not None
    assert crossing(halves) == [("bf16", [1, 8, 8, 6])]
    assert "ConvolutionBackpropData" in {node.get_type_name() for node in halves.tail.get_ordered_ops()}


def test_a_transformer_s_last_convolution_is_in_the_tail() -> None:
    halves = split(network("conv", normed=True))
    assert halves is not None
    assert crossing(halves) == [("bf16", [1, 8, 8, 6])]
    assert "Convolution" in {node.get_type_name() for node in halves.tail.get_ordered_ops()}


@pytest.mark.parametrize("last", ["conv", "deconv"])
def test_the_two_models_compute_what_the_one_does(last: str) -> None:
    model = network(last)
    x = np.random.default_rng(0).normal(0, 1, (1, 3, 8, 8)).astype(np.float32)
    wanted = list(the_core().compile_model(model.clone(), "CPU", FP32)([x]).values())
    halves = split(model)
    assert halves is not None
    for found, right in zip(in_fp32(halves, x), wanted, strict=True):
        np.testing.assert_allclose(found, right, rtol=0.02, atol=0.02)  # what crosses as bf16 has 8 bits
        assert found.shape == right.shape


def test_a_network_of_one_convolution_is_not_cut() -> None:
    x = op.parameter([1, 3, 8, 8], openvino.Type.f32)
    assert split(openvino.Model([op.result(convolved(x, 4, 1))], [x], "one")) is None
