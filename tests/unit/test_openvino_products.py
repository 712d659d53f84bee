"""Which products of a transformer turn to bf16, what they then compute, and that the reference decides how many do."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from lmdeploy.bundle import Bundle, read_bundle, write_bundle
from lmdeploy.types import Array
from tests.tiny_bundle import make_tiny_bundle, mixing, tiny_onnx

openvino = pytest.importorskip("openvino", reason="OpenVINO is an extra")
from openvino import opset13 as op  # noqa: E402 - not without openvino

from lmdeploy.backends import choose, offers  # noqa: E402 - not without openvino
from lmdeploy.backends.openvino import OpenVINOBackend, has_bf16, the_core  # noqa: E402 - not without openvino
from lmdeploy.backends.openvino_products import (  # noqa: E402 - not without openvino
    SHARES,
    Share,
    first_convolutions,
    lower,
    nearest_bf16,
)

WIDTH, WIDE = 16, 64
needs_bf16 = pytest.mark.skipif(not has_bf16(the_core()), reason="this processor does not compute in bf16")
RNG = np.random.default_rng(3)
WEIGHTS = {
    "wide": RNG.normal(size=(WIDTH, WIDE)).astype(np.float32),
    "narrow": RNG.normal(size=(WIDE, WIDTH)).astype(np.float32),
    "head": RNG.normal(size=(WIDTH, WIDE)).astype(np.float32),
}


def feed_forward() -> Any:
    """x f32[B,T,16] -> x + narrow(relu(wide(x))), normed, times its own transpose's sum, normed, then the head."""
    x = op.parameter([-1, 3, WIDTH], openvino.Type.f32)
    hidden = op.relu(named(op.matmul(x, op.constant(WEIGHTS["wide"]), False, False), "wide"))
    added = op.add(x, named(op.matmul(hidden, op.constant(WEIGHTS["narrow"]), False, False), "narrow"))
    normed = op.mvn(added, op.constant([2]), True, 1e-5, "inside_sqrt")
    own = named(op.matmul(normed, normed, False, True), "own")  # [B,T,T], both sides from x
    again = op.mvn(op.matmul(own, normed, False, False), op.constant([2]), True, 1e-5, "inside_sqrt")
    head = named(op.matmul(again, op.constant(WEIGHTS["head"]), False, False), "head")
    return openvino.Model([op.result(head), op.result(added)], [x], "feed_forward")


def named(node: Any, name: str) -> Any:
    node.set_friendly_name(name)
    return node


def types(model: Any) -> dict[str, str]:
    return {
        node.get_friendly_name(): node.get_output_element_type(0).get_type_name()
        for node in model.get_ordered_ops()
        if node.get_friendly_name() in ("wide", "narrow", "own", "head")
    }


def bf16(values: Array) -> Array:
    """The nearest numbers of bf16, by the library that defines the type for NumPy."""
    nearest: Array = values.astype(ml_dtypes.bfloat16).astype(np.float32)
    return nearest


def test_weights_are_rounded_to_the_nearest_number() -> None:
    values = np.float32([1, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -1.7, 3e38, 1e-40, 0])
    values = np.concatenate([values, RNG.normal(size=1000).astype(np.float32)])
    np.testing.assert_array_equal(nearest_bf16(values), bf16(values))


def test_products_with_constants_before_a_norm_turn_and_the_head_does_not() -> None:
    model = feed_forward()
    assert lower(model, 64) == 2
    assert types(model) == {"wide": "bf16", "narrow": "bf16", "own": "f32", "head": "f32"}


def test_only_products_that_are_large_enough_turn() -> None:
    model = feed_forward()
    # 16 x 64 weights in both; one crop's output has 3 x 64 elements in the one, 3 x 16 in the other
    assert lower(model, 16 * 64 + 3 * 64) == 1
    assert types(model) == {"wide": "bf16", "narrow": "f32", "own": "f32", "head": "f32"}
    assert lower(feed_forward(), 16 * 64 + 3 * 64 + 1) == 0


@needs_bf16
def test_a_lowered_model_computes_its_products_in_bf16_and_the_sum_in_fp32() -> None:
    model = feed_forward()
    lower(model, 64)
    compiled = the_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    x = RNG.normal(size=(2, 3, WIDTH)).astype(np.float32)
    hidden = np.maximum(bf16(bf16(x) @ bf16(WEIGHTS["wide"])), 0)
    product = bf16(bf16(hidden) @ bf16(WEIGHTS["narrow"]))
    head, added = compiled([x]).values()
    equal = np.isclose(added, x + product, rtol=0, atol=1e-4)
    assert equal.mean() > 0.8  # a product that is summed in another order may round to the next number
    assert not np.isclose(added, x + np.maximum(x @ WEIGHTS["wide"], 0) @ WEIGHTS["narrow"], rtol=0, atol=1e-4).any()
    assert np.abs(added - x - product).max() <= 2**-7 * np.abs(product).max()
    np.testing.assert_allclose(head, tail_of(added), atol=1e-3)  # on from there all is fp32


def tail_of(added: Array) -> Array:
    normed = norm(added.astype(np.float64))
    out: Array = norm(normed @ normed.transpose(0, 2, 1) @ normed) @ WEIGHTS["head"]
    return out


def norm(x: Array) -> Array:
    centred: Array = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(centred.var(-1, keepdims=True) + 1e-5)


@needs_bf16
def test_a_network_for_heatmaps_has_its_convolutions_as_products_where_sums_stay_fp32() -> None:
    model = read_bundle("face68").file("model.onnx")
    assert OpenVINOBackend(model, 1, "bf16", SHARES[0]).products == 0
    ours = OpenVINOBackend(model, 1, "bf16", SHARES[1])
    assert ours.products == 28  # 31 with the deconvolutions, but for what reads the image and what writes the maps
    with np.load(read_bundle("face68").file("reference.npz")) as saved:
        distance = np.linalg.norm(ours.run(saved["crops"]).points - saved["points"], axis=-1)
    assert 1e-4 < np.median(distance) < 0.02
    assert np.percentile(distance, 99) <= 0.1  # px; measured 0.064


class StandIn:
    """An engine that is the further off, the more of it is in bf16."""

    provider, precision = "OpenVINO CPU bf16", "bf16"

    def __init__(self, off: float, products: int) -> None:
        self.off, self.products, self.closed = off, products, False

    def close(self) -> None:
        self.closed = True


FAR = [0.14, 0.12]  # px, of the shares in their order
ALL, LEAST = 0, len(SHARES)  # places among the shares; behind them the body alone


@pytest.mark.parametrize(
    ("off", "products", "taken", "open_at_the_end"),
    [
        ([0.05], [13], ALL, {0}),
        ([FAR[0], 0.03], [13, 5], 1, {1}),
        ([*FAR, 0.02], [13, 5, 0], LEAST, {LEAST}),
        ([FAR[0], 0.03], [0, 28], 1, {1}),  # a heatmap network: its first share is the body alone
        (FAR, [0, 28], ALL, set()),  # of which `auto` sees in the end that it is too far
        ([0.14, 0.0, 0.02], [13, 0, 0], LEAST, {LEAST}),  # nothing is large enough for the second: that is fp32
    ],
)
def test_as_much_is_in_bf16_as_the_reference_lets_pass(
    off: list[float],
    products: list[int],
    taken: int,
    open_at_the_end: set[int],
    bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[StandIn] = []

    def opened(model: object, threads: object, precision: str, share: Share | None = None) -> StandIn:
        assert precision == "bf16"
        assert share == (*SHARES, None)[len(made)]
        made.append(StandIn(off[len(made)], products[len(made)]))
        if share and not share.sums and not made[-1].products:
            made[-1].precision = "fp32"
        return made[-1]

    monkeypatch.setattr(offers, "OpenVINOBackend", opened)
    for module in (offers, choose):
        monkeypatch.setattr(module, "distance_px", lambda engine, _: engine.off)
    monkeypatch.setattr(offers, "has_bf16", lambda _: True)
    engine = choose.open_engine(bundle, "auto", "cpu", 1)
    assert (engine is made[taken]) == bool(open_at_the_end)
    assert len(made) == len(off)
    assert {place for place, one in enumerate(made) if not one.closed} == open_at_the_end


def convolutions() -> Any:
    """x f32[B,3,8,8] -> first -> relu -> second -> mean over places, normed."""
    x = op.parameter([-1, 3, 8, 8], openvino.Type.f32)
    ones = ([1, 1], [0, 0], [0, 0], [1, 1])
    first = named(op.convolution(x, op.constant(KERNELS["first"]), *ones), "first")
    second = named(op.convolution(op.relu(first), op.constant(KERNELS["second"]), *ones), "second")
    pooled = op.reduce_mean(second, op.constant([2, 3]), keep_dims=False)
    return openvino.Model([op.result(op.mvn(pooled, op.constant([1]), True, 1e-5, "inside_sqrt"))], [x], "convs")


KERNELS = {
    "first": RNG.normal(size=(4, 3, 3, 3)).astype(np.float32),
    "second": RNG.normal(size=(5, 4, 3, 3)).astype(np.float32),
}


def test_what_reads_the_image_stays_and_later_convolutions_turn() -> None:
    model = convolutions()
    first = first_convolutions(model)
    kept = {node.get_friendly_name() for node in model.get_ordered_ops() if node.get_name() in first}
    assert kept == {"first"}
    assert lower(model, 1, first) == 1
    found = {node.get_friendly_name(): node.get_output_element_type(0).get_type_name() for node in model.get_ops()}
    assert (found["first"], found["second"]) == ("f32", "bf16")


@pytest.fixture
def bundle(tmp_path: Any) -> Bundle:
    spec = make_tiny_bundle(tmp_path / "plain").spec
    return write_bundle(tmp_path / "b", spec, {"model.onnx": tiny_onnx(64, mixing(3)), "reference.npz": b"not read"})
