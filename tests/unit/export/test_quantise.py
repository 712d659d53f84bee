"""int8 files: steps, places and integers as they should be, and ONNX Runtime computing in 8 bits throughout."""

from __future__ import annotations

import collections
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from export.parity import Parity, generated_crops
from export.quantise import search as searching
from export.quantise.calibrate import Ranges
from export.quantise.places import eligible, measurable, throughout
from export.quantise.qdq import Scheme, quantise
from export.surgery import operate
from export.surgery.graph import Graph
from lmdeploy.types import U8, Array
from tests.unit.export.small_graphs import by_reference, by_runtime, graph

CROPS = generated_crops(64, 6)


@pytest.fixture(scope="module")
def network(tiny_heatmap: bytes) -> bytes:
    return operate(tiny_heatmap)


@pytest.fixture(scope="module")
def ranges(network: bytes) -> Ranges:
    return Ranges(network, measurable(Graph(network)), CROPS)


def chain(seed: int = 0) -> tuple[bytes, U8]:
    """images -> three convolutions, of which the middle one is neither first nor last; and images for it."""
    draw = np.random.default_rng(seed)
    weights = {f"w{i}": draw.normal(size=(4, 4 if i else 2, 3, 3)).astype(np.float32) / 5 for i in range(3)}
    biases = {f"b{i}": draw.normal(size=4).astype(np.float32) for i in range(3)}
    how = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [("Cast", ["images"], "x", {"to": TensorProto.FLOAT}), ("Mul", ["x", "scale"], "c0", {})]
    for i in range(3):
        nodes.append(("Conv", [f"c{i}", f"w{i}", f"b{i}"], f"a{i}", how))
        nodes.append(("Relu", [f"a{i}"], f"c{i + 1}", {}))
    scale = {"scale": np.array(1 / 255, np.float32)}
    return graph(nodes, weights | biases | scale, {"images": ["B", 2, 8, 8]}, ["c3"]), draw.integers(
        0, 256, (8, 2, 8, 8), dtype=np.uint8
    )


def test_the_limit_has_the_least_squared_error() -> None:
    """Against every value rounded one by one, at every limit that is tried."""
    draw = np.random.default_rng(3)
    values = np.clip(draw.standard_t(2, size=(4, 2, 50, 50)) * 8 + 20, 0, 255).astype(np.uint8)
    model = graph(
        [("Cast", ["images"], "x", {"to": 1}), ("Neg", ["x"], "y", {})], {}, {"images": ["B", 2, 50, 50]}, ["y"]
    )
    found = Ranges(model, ["x", "y"], values)
    assert (found.signed["x"], found.signed["y"]) == (False, True)
    x, errors = values.astype(float).ravel(), {}
    for limit in np.linspace(0.3, 1.0, 71) * x.max():
        step = limit / 15
        errors[limit] = np.square(np.clip(np.round(x / step), 0, 15) * step - x).mean()
    best = min(errors, key=errors.get)  # type: ignore[arg-type]  # a dict's own lookup
    assert found.limit("x", 15) == pytest.approx(best, abs=0.03 * x.max())
    assert best < 0.9 * x.max()  # a tail is cut off


@pytest.mark.parametrize("scheme", ["u8s8", "s8s8"])
def test_runtime_and_reference_agree_and_are_near_the_float_file(scheme: Scheme) -> None:
    model, images = chain()
    small = quantise(model, scheme, Ranges(model, measurable(Graph(model)), images))
    (ours,), (reference,), (wanted,) = (
        by_runtime(small, {"images": images}), by_reference(small, {"images": images}),
        by_runtime(model, {"images": images}),
    )  # fmt: skip
    assert np.abs(ours - wanted).mean() < 0.01 * wanted.std()
    assert np.mean(np.abs(ours - reference) > 1e-4) < 0.02  # integers round ties the other way here and there
    assert np.abs(ours - wanted).max() > 0  # it is rounded


def test_integers_are_what_the_equation_says() -> None:
    model, images = chain()
    graph8 = Graph(quantise(model, "u8s8", Ranges(model, measurable(Graph(model)), images)))
    (middle,) = (n for n in graph8.of_type("Conv") if n.input[1] != "w0" and n.input[1] != "w2")
    _, weight, bias = (graph8.producer(name) for name in middle.input)
    assert weight is not None
    assert bias is not None
    w, s = (graph8.constant(name) for name in weight.input[:2])
    original = numpy_helper.to_array(next(t for t in onnx.load_from_string(model).graph.initializer if t.name == "w1"))
    for channel in range(4):
        step = np.abs(original[channel]).max() / 127
        assert s is not None
        assert w is not None
        assert s[channel] == pytest.approx(step)
        np.testing.assert_array_equal(w[channel], np.round(original[channel] / step).astype(np.int8))
    b, steps = (graph8.constant(name) for name in bias.input[:2])
    assert b is not None
    assert b.dtype == np.int32
    true = numpy_helper.to_array(next(t for t in onnx.load_from_string(model).graph.initializer if t.name == "b1"))
    np.testing.assert_allclose(b * steps, true, atol=1e-4)


@pytest.mark.parametrize("scheme", ["u8s8", "s8s8"])
def test_zero_points_are_symmetric(network: bytes, ranges: Ranges, scheme: Scheme) -> None:
    small = Graph(quantise(network, scheme, ranges))
    zeros = [small.constant(node.input[2]) for node in small.of_type("QuantizeLinear", "DequantizeLinear")]
    dtypes = {str(zero.dtype) for zero in zeros if zero is not None}
    assert len([zero for zero in zeros if zero is None]) == 0
    if scheme == "s8s8":
        assert dtypes == {"int8"}
        assert not any(np.any(zero) for zero in zeros)
    else:
        assert dtypes == {"uint8", "int8", "int32"}
        assert {int(v) for zero in zeros if zero is not None for v in np.ravel(zero)} == {0, 128}


def test_the_runtime_computes_every_chosen_convolution_in_8_bits(
    network: bytes, tiny_heatmap: bytes, ranges: Ranges, tmp_path: Path
) -> None:
    """The transposed ones too, once they are rewritten: the plain file leaves them in float."""
    found = counts(quantise(network, "u8s8", ranges), tmp_path / "a.onnx")
    chosen = len(eligible(Graph(network)))
    assert found["QLinearConv"] == chosen
    assert found["ConvTranspose"] == 0
    plain = Ranges(tiny_heatmap, measurable(Graph(tiny_heatmap)), CROPS)
    assert counts(quantise(tiny_heatmap, "u8s8", plain), tmp_path / "b.onnx")["ConvTranspose"] == 3


def counts(model: bytes, path: Path) -> collections.Counter[str]:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(path), 4
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return collections.Counter(node.op_type for node in onnx.load(str(path)).graph.node)


def test_first_and_last_convolutions_stay_float(network: bytes) -> None:
    graph_ = Graph(network)
    names = [node.name for node in graph_.of_type("Conv")]
    chosen = {node.name for node in eligible(graph_)}
    assert names[0] not in chosen
    assert names[-1] not in chosen  # the head of the maps
    assert len(chosen) == len(names) - 2


def test_a_sum_that_only_the_head_reads_stays_float(network: bytes) -> None:
    graph_ = Graph(network)
    head = graph_.of_type("Conv")[-1]
    maker = graph_.producer(head.input[0])
    assert maker is not None
    assert maker.op_type == "Add"
    places = throughout(graph_, eligible(graph_))
    assert head.input[0] not in places
    assert all(name in places for name in maker.input)


def test_over_the_tolerance_convolutions_go_back_to_float_worst_first(network: bytes, ranges: Ranges) -> None:
    calls: list[bytes] = []

    def judge(small: bytes) -> Parity:
        calls.append(small)
        far = 0.7 - 0.1 * len(calls)
        rest = dict.fromkeys(("median_px", "mean_px", "max_px", "score_max"), 0.0)
        return Parity(precision="int8", images=1, p99_px=far, tolerance_px=0.45, **rest)

    found = searching.search(network, "u8s8", CROPS, judge)
    order = searching.losses(network, "u8s8", ranges, CROPS)
    assert found.left == tuple(order[:2])
    assert found.parity.left_float == 2
    assert len(calls) == 3
    floats = [node.name for node in Graph(found.model).of_type("Conv") if is_float(found.model, node.input[1])]
    assert set(order[:2]) < set(floats)


def is_float(model: bytes, name: str) -> bool:
    value: Array | None = Graph(model).constant(name)
    return value is not None and value.dtype == np.float32


def test_branches_that_meet_after_the_last_convolution_and_profiles_are_left_alone() -> None:
    """A joining that no convolution follows has no measured range; 1-D convolutions have other weights."""
    how = {"kernel_shape": [1, 1]}
    nodes = [
        ("Cast", ["images"], "x", {"to": TensorProto.FLOAT}),
        ("Conv", ["x", "w"], "a", how),
        ("Conv", ["a", "w"], "b", how),
        ("Conv", ["b", "w"], "c", how),
        ("Concat", ["b", "b"], "d", {"axis": 1}),
        ("Flatten", ["d"], "e", {"axis": 1}),
        ("Unsqueeze", ["e", "one"], "f", {}),
        ("Conv", ["f", "v"], "g", {"kernel_shape": [3]}),
        ("Conv", ["g", "v"], "h", {"kernel_shape": [3]}),
        ("Conv", ["h", "v"], "i", {"kernel_shape": [3]}),
        ("Concat", ["b", "b"], "k", {"axis": 1}),
    ]
    values = {"w": np.eye(2, dtype=np.float32)[:, :, None, None], "v": np.ones((1, 1, 3), np.float32) / 3}
    values["one"] = np.array([1], np.int64)
    model = graph(nodes, values, {"images": [2, 2, 4, 4]}, ["c", "i", "k"])
    images = np.random.default_rng(0).integers(0, 256, (2, 2, 4, 4), dtype=np.uint8)
    assert [node.name for node in eligible(Graph(model))] == ["n_b"]
    small = quantise(model, "u8s8", Ranges(model, measurable(Graph(model)), images))
    for ours, wanted in zip(by_runtime(small, {"images": images}), by_runtime(model, {"images": images}), strict=True):
        np.testing.assert_allclose(ours, wanted, atol=2.1)  # two steps of 255 / 255
