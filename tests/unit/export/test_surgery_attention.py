"""Attention as it is written out: the numbers of the export as it was, biases that are no zeros included."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from export.half import to_half
from export.surgery import attention, direct_cells, late_resize, operate
from export.surgery.fixed_batch import fix_batch
from export.surgery.graph import Graph
from lmdeploy.backends.ort import OrtBackend
from tests.tensorrt_kit.operators import summarise
from tests.tensorrt_kit.restrictions import problems
from tests.unit.export.small_graphs import by_runtime, kinds
from tests.unit.export.small_transformer import LAYERS, exported

ATOL = 1e-4  # px, and of the score; measured 2e-5


@pytest.fixture(scope="module")
def plain() -> bytes:
    return exported(joined=False)


@pytest.fixture(scope="module")
def joined() -> bytes:
    return exported(joined=True)


def assert_same(new: bytes, old: bytes) -> None:
    """Points, score and nnm in batches of one and of three; biases of the network move its points by many pixels."""
    for batch in (1, 3):
        images = np.random.default_rng(batch).integers(0, 256, (batch, 64, 64, 3), dtype=np.uint8)
        for ours, theirs in zip(by_runtime(new, {"images": images}), by_runtime(old, {"images": images}), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=ATOL)


def test_numbers_stay_and_detours_go(plain: bytes) -> None:
    surgeon = Graph(plain)
    assert attention.rewrite(surgeon) == 2 * LAYERS
    new = surgeon.finish()
    assert_same(new, plain)
    # self-attention: q, k, v, joined heads; cross-attention: q, v, joined heads. Beside them one turns the image and
    # two a layer surround the landmarks' own products, which are still an Einsum here
    per_layer = 4 + 3
    assert kinds(new).count("Transpose") <= 1 + LAYERS * per_layer < kinds(plain).count("Transpose") / 3
    assert kinds(new).count("Softmax") == kinds(plain).count("Softmax") == 2 * LAYERS
    assert "Split" not in kinds(new)


@pytest.mark.parametrize("maps", ["plain", "joined"])
def test_openvino_has_the_same_points_for_each_image_of_a_batch(maps: str, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is an extra")
    from lmdeploy.backends.openvino import OpenVINOBackend

    old: bytes = request.getfixturevalue(maps)
    images = np.random.default_rng(5).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    wanted = OrtBackend(old, 1, "cpu").run(images).points
    assert np.ptp(wanted, axis=0).max() > 0.05  # px: images that are mixed up would be seen
    engine = OpenVINOBackend(operate(old), 1, "fp32")
    np.testing.assert_allclose(engine.run(images).points, wanted, atol=1e-3)
    alone = [engine.run(images[i : i + 1]).points for i in range(3)]
    np.testing.assert_allclose(np.concatenate(alone), wanted, atol=1e-3)


def test_no_shape_is_computed_any_more(plain: bytes) -> None:
    assert kinds(plain).count("Shape") > 2 * LAYERS
    assert kinds(operate(plain)).count("Shape") <= 1  # that of the spread, which this network fills with NaN


def test_an_attention_with_another_scale_for_each_head_is_left_alone(plain: bytes) -> None:
    graph = Graph(plain)
    muls = [graph.producer(graph.producer(node.input[0]).input[0]) for node in graph.of_type("Softmax")]
    for mul in muls:
        mul.input[1] = graph.add_constant(np.ones((1, 2, 1, 1), np.float32), "per_head")
    assert attention.rewrite(Graph(onnx.ModelProto.FromString(graph.assemble()))) == 0


def test_keys_and_values_are_taken_from_the_joined_maps(joined: bytes) -> None:
    surgeon = Graph(joined)
    assert attention.rewrite(surgeon) == 2 * LAYERS
    assert direct_cells.rewrite(surgeon) == 1
    assert_same(surgeon.finish(), joined)
    assert late_resize.rewrite(surgeon) == 1
    new = surgeon.finish()
    assert_same(new, joined)
    assert kinds(joined).count("Resize") == 3
    assert "Resize" not in kinds(new)
    assert kinds(new).count("Conv") == 4 + 3 * 2 * LAYERS  # of each key and value: one early, two late


def test_a_projection_of_one_map_stays(plain: bytes) -> None:
    surgeon = Graph(plain)
    attention.rewrite(surgeon)
    assert direct_cells.rewrite(surgeon) == 0


def test_other_files_are_made_of_it(joined: bytes) -> None:
    """Half precision within its own error, a fixed batch without shapes, and nothing that TensorRT does not take."""
    new = operate(joined)
    assert problems(summarise(new)) == []
    half, fixed = to_half(new), fix_batch(new, 3)
    assert problems(summarise(half)) == []
    assert "Shape" not in kinds(fixed)
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    wanted = by_runtime(joined, {"images": images})[0]
    np.testing.assert_allclose(by_runtime(fixed, {"images": images})[0], wanted, atol=ATOL)
    np.testing.assert_allclose(by_runtime(half, {"images": images})[0], wanted, atol=0.02)  # px; measured 0.003
