"""The half-precision body: types, single casts, and points that stay."""

from __future__ import annotations

import collections

import numpy as np
import onnx
import pytest
from onnx import TensorProto, shape_inference

from export.half import to_half
from export.parity import generated_crops
from export.surgery import operate
from lmdeploy.backends.ort import OrtBackend
from tests.unit.export.small_graphs import by_reference, by_runtime, graph, kinds


@pytest.fixture(scope="module", params=["tiny_heatmap", "tiny_transformer"])
def pair(request: pytest.FixtureRequest) -> tuple[bytes, bytes]:
    single = operate(request.getfixturevalue(request.param))
    return single, to_half(single)


def types(model: bytes) -> dict[str, int]:
    inferred = shape_inference.infer_shapes(onnx.load_from_string(model), strict_mode=True).graph
    found = {v.name: v.type.tensor_type.elem_type for v in (*inferred.value_info, *inferred.output)}
    return found | {t.name: t.data_type for t in inferred.initializer}


def test_convolutions_are_half_and_outputs_are_single(pair: tuple[bytes, bytes]) -> None:
    model, known = onnx.load_from_string(pair[1]), types(pair[1])
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert {known[name] for node in convolutions for name in (*node.input, *node.output)} == {TensorProto.FLOAT16}
    assert {v.type.tensor_type.elem_type for v in model.graph.output} == {TensorProto.FLOAT}
    assert {v.type.tensor_type.elem_type for v in model.graph.input} == {TensorProto.UINT8}


def test_a_coordinate_head_and_sums_over_many_stay_single(tiny_transformer: bytes) -> None:
    new = to_half(operate(tiny_transformer))
    known, model = types(new), onnx.load_from_string(new)
    last = [node for node in model.graph.node if node.op_type == "LayerNormalization"][-1]
    tensors, behind = set(last.output), []
    for node in model.graph.node:
        if tensors & set(node.input):
            tensors |= set(node.output)
            behind += [node] if node.op_type in ("Gemm", "MatMul") else []
    assert len(behind) >= 3  # two hidden layers and the heads
    assert {known[node.output[0]] for node in behind} == {TensorProto.FLOAT}
    sums = [n for n in model.graph.node if n.op_type in ("Softmax", "LayerNormalization", "ReduceMean")]
    assert {known[node.output[0]] for node in sums} == {TensorProto.FLOAT}


def test_each_tensor_is_cast_once_and_no_name_comes_twice(pair: tuple[bytes, bytes]) -> None:
    nodes = onnx.load_from_string(pair[1]).graph.node
    casts = collections.Counter(node.input[0] for node in nodes if node.op_type == "Cast")
    assert max(casts.values()) == 1
    names = [node.name for node in nodes] + [name for node in nodes for name in node.output]
    assert len(set(names)) == len(names)


def test_a_body_takes_half_the_room(pair: tuple[bytes, bytes]) -> None:
    single, half = (
        sum(t.ByteSize() for t in onnx.load_from_string(m).graph.initializer if len(t.dims) == 4) for m in pair
    )
    assert half < 0.6 * single


def test_points_and_scores_stay(tiny_transformer: bytes) -> None:
    """Of a coordinate model with random weights; heatmaps need trained ones (test_precision)."""
    crops = generated_crops(64, 5)
    single = OrtBackend(operate(tiny_transformer), 1, "cpu").run(crops)
    half = OrtBackend(to_half(operate(tiny_transformer)), 1, "cpu").run(crops)
    assert np.linalg.norm(half.points - single.points, axis=-1).max() < 0.1  # px; measured 0.01
    assert np.abs(half.score - single.score).max() < 0.01


def test_half_products_behind_a_transpose_do_not_end_the_process(tiny_transformer: bytes) -> None:
    """Products stay single: ONNX Runtime 1.31 ends with a segmentation fault on loading them in half."""
    new = to_half(operate(tiny_transformer))
    known, model = types(new), onnx.load_from_string(new)
    assert {known[n.output[0]] for n in model.graph.node if n.op_type == "Mul"} == {TensorProto.FLOAT}
    OrtBackend(new, 1, "cpu").close()


def test_resize_keeps_its_scales_single() -> None:
    nodes = [
        ("Conv", ["x", "w"], "a", {"kernel_shape": [1, 1]}),
        ("Resize", ["a", "", "s"], "b", {"mode": "nearest"}),
        ("Conv", ["b", "w"], "c", {"kernel_shape": [1, 1]}),
        ("Add", ["c", "one"], "y", {}),
    ]
    values = {"w": np.full((2, 2, 1, 1), 0.3, np.float32), "s": np.array([1, 1, 2, 2], np.float32)}
    values["one"] = np.array(1, np.float32)
    single = graph(nodes, values, {"x": [1, 2, 3, 3]}, ["y"])
    half = to_half(single)
    assert kinds(half) == ["Cast", "Conv", "Resize", "Conv", "Cast", "Add"]
    x = np.random.default_rng(0).normal(size=(1, 2, 3, 3)).astype(np.float32)
    for run in (by_runtime, by_reference):
        np.testing.assert_allclose(run(half, {"x": x})[0], by_runtime(single, {"x": x})[0], atol=2e-3)
