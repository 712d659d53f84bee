"""The crop inside the graph: against geometry.crop_image, and against a picture whose every value is known."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from export.frame_files import compare_frames, generated_scenes
from export.half import to_half
from export.surgery.whole_frames import take_whole_frames
from lmdeploy.backends.frames import inputs_for, taps_for
from lmdeploy.errors import InputError
from lmdeploy.geometry import CropRule, block_side, compose, crop_image, crop_matrix, invert, resize_matrix
from lmdeploy.types import F32, F64, U8, Array, Box
from tests.tiny_bundle import blob_image, mixing, tiny_onnx
from tests.unit.export.small_graphs import graph

SIZE = 32
RULE = CropRule(size=SIZE, scale=1.25)
BOXES = {
    "enlarged": Box(30.0, 20.0, 47.3, 36.1),
    "as it is": Box(20.4, 10.3, 55.7, 41.2),
    "blocks of 2": Box(12.0, 5.0, 77.0, 58.0),
    "blocks of 4": Box(-20.5, -30.0, 95.0, 80.0),
    "blocks of 6": Box(-60.0, -70.5, 110.0, 90.5),
    "at the corner": Box(70.0, 50.0, 130.0, 95.0),
    "outside": Box(300.0, 200.0, 330.0, 230.0),
    "stretched": Box(10.0, 30.0, 80.0, 41.0),
}


def by_hand(frames: U8, index: list[int], matrices: list[F64], taps: int | None = None) -> F32:
    """Crops f32[B,S,S,3] that the graph cuts: a network that gives its images back."""
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["B", SIZE, SIZE, 3])
    points = helper.make_tensor_value_info("points", TensorProto.FLOAT, ["B", SIZE * SIZE * 3, 1])
    nodes = [
        helper.make_node("Cast", ["images"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["f", "flat"], ["points"]),
    ]
    flat = helper.make_tensor("flat", TensorProto.INT64, [3], [-1, SIZE * SIZE * 3, 1])
    model = helper.make_model(
        helper.make_graph(nodes, "mirror", [images], [points], [flat]),
        opset_imports=[helper.make_opsetid("", 20)], ir_version=10,
    )  # fmt: skip
    feeds = inputs_for(frames, index, matrices, taps or taps_for(matrices) or 0)
    return run(take_whole_frames(model.SerializeToString()), feeds)["points"].reshape(-1, SIZE, SIZE, 3)


def run(model: bytes, feeds: dict[str, Array]) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds), strict=True))


def frames(seed: int = 0, count: int = 2) -> U8:
    """White noise: the hardest picture for whoever samples at the wrong place."""
    return np.random.default_rng(seed).integers(0, 256, (count, 70, 90, 3), np.uint8)


@pytest.mark.skipif(int(cv2.__version__.split(".")[0]) != 4, reason="OpenCV 5 does not round positions to 1/32 px")
@pytest.mark.parametrize("name", BOXES)
@pytest.mark.parametrize("kind", ["square", "stretch"])
def test_the_crop_is_that_of_crop_image_to_the_bit(name: str, kind: str) -> None:
    pictures, matrix = frames(), crop_matrix(BOXES[name], RULE.model_copy(update={"kind": kind}))
    found = by_hand(pictures, [0, 1], [matrix, matrix])
    for crop, picture in zip(found, pictures, strict=True):
        np.testing.assert_array_equal(crop, crop_image(picture, matrix, SIZE))


@pytest.mark.parametrize("angle", [0.4, -2.0])
@pytest.mark.parametrize("name", ["enlarged", "blocks of 2", "blocks of 4", "at the corner"])
def test_turned_crops_are_the_same_but_for_samples_on_a_border_between_steps(name: str, angle: float) -> None:
    picture, matrix = frames(count=1), crop_matrix(BOXES[name], RULE, angle)
    off = np.abs(by_hand(picture, [0], [matrix])[0] - crop_image(picture[0], matrix, SIZE))
    step = 1 / 32 if cv2.__version__.startswith("4") else 1 / 16
    assert off.max() <= 2 * 255 * step + 1  # one step aside on each axis, across the steepest edge there is
    assert off.mean() < 0.05 or not cv2.__version__.startswith("4")


@pytest.mark.parametrize("side", [20.0, 44.0, 90.0, 150.0])
def test_pixel_centres_are_where_the_convention_says(side: float) -> None:
    """A plane stays a plane when blocks are averaged: every crop pixel is the plane at its own place."""
    y, x = np.mgrid[:240, :240]
    plane = np.repeat((20 + 0.5 * x + 0.3 * y)[..., None], 3, axis=2)
    matrix = crop_matrix(Box(31.3, 42.9, 31.3 + side, 42.9 + side), RULE, 0.1)
    row, column = np.mgrid[:SIZE, :SIZE]
    places = np.stack([column, row, np.ones_like(row)], -1) @ invert(matrix).T
    wanted = 20 + 0.5 * places[..., 0] + 0.3 * places[..., 1]
    found = by_hand(np.round(plane).astype(np.uint8)[None], [0], [matrix])[0, ..., 0]
    assert np.abs(found - wanted).max() <= 0.5 + 0.5 + 0.5 + 0.8 / 64  # picture, block and crop are rounded; 1/32 px
    assert abs((found - wanted).mean()) < 0.05


def test_several_faces_of_several_frames_share_a_run() -> None:
    pictures = frames(count=3)
    matrices = [crop_matrix(BOXES[name], RULE) for name in ("enlarged", "blocks of 4", "at the corner", "as it is")]
    index = [2, 0, 2, 1]
    together = by_hand(pictures, index, matrices)
    for crop, place, matrix in zip(together, index, matrices, strict=True):
        np.testing.assert_array_equal(crop, by_hand(pictures[place][None], [0], [matrix])[0])


def test_more_taps_than_needed_change_nothing_and_fewer_give_no_points() -> None:
    picture, matrices = frames(count=1), [crop_matrix(BOXES[name], RULE) for name in ("as it is", "blocks of 4")]
    assert [block_side(matrix) for matrix in matrices] == [1, 4]
    right = by_hand(picture, [0, 0], matrices)
    np.testing.assert_array_equal(by_hand(picture, [0, 0], matrices, taps=9), right)
    few = by_hand(picture, [0, 0], matrices, taps=3)
    np.testing.assert_array_equal(few[0], right[0])
    assert np.isnan(few[1]).all()


def test_taps_are_enough_where_rounding_decides() -> None:
    """A side that is whole in float64 may be a bit more in float32; the graph must not answer NaN."""
    for side in np.linspace(1.5, 12.5, 400):
        matrix = resize_matrix((round(side * SIZE), round(side * SIZE)), (SIZE, SIZE))
        matrix = compose(matrix, np.array([[1 / 1.0000001, 0, 0.1], [0, 1, 0.2]]))
        ((ax, _, _), (_, by, _)) = invert(matrix).astype(np.float32)
        assert np.floor(np.sqrt(ax * by)) <= (taps_for([matrix]) or 0)
    assert taps_for([resize_matrix((17 * SIZE, 17 * SIZE), (SIZE, SIZE))]) is None


@pytest.mark.parametrize("half", [False, True])
def test_a_network_says_of_whole_frames_what_it_says_of_crops(half: bool) -> None:
    plain = to_half(tiny_onnx(SIZE, mixing(3))) if half else tiny_onnx(SIZE, mixing(3))
    picture = blob_image(120, 160, np.array([[60.0, 50], [90, 55], [75, 80]]))
    matrix = crop_matrix(Box(45.0, 35.0, 105.0, 95.0), RULE)
    wanted = run(plain, {"images": crop_image(picture, matrix, SIZE)[None]})
    found = run(take_whole_frames(plain), inputs_for(picture[None], [0], [matrix], 2))
    assert list(found) == ["points", "score", "spread", "nnm"]
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, atol=1e-4)


def test_metadata_stays_and_no_node_is_made_twice() -> None:
    model = onnx.load_from_string(tiny_onnx(SIZE, mixing(3)))
    helper.set_model_props(model, {"lmdeploy": "{}"})
    made = onnx.load_from_string(take_whole_frames(model.SerializeToString()))
    assert {item.key: item.value for item in made.metadata_props} == {"lmdeploy": "{}"}
    keys = [(n.op_type, tuple(n.input), str(n.attribute)) for n in made.graph.node]
    assert len(set(keys)) == len(keys)


def test_generated_frames_hold_the_crops_at_every_size() -> None:
    crops = np.stack([blob_image(SIZE, SIZE, np.array([[9.0, 8], [22, 9], [15, 24]]), sigma=2.0)] * 4)
    scenes = list(generated_scenes(crops))
    assert [block_side(matrix) for _, matrix in scenes] == [1, 1, 2, 3]
    plain = tiny_onnx(SIZE, mixing(3))
    parity = compare_frames(plain, take_whole_frames(plain), scenes, SIZE, "fp32")
    assert parity.images == 4
    assert parity.p99_px <= parity.tolerance_px == 0.02
    assert "frame_fp32 against crops cut outside the graph on 4 crops" in parity.sentence()
    for (frame, matrix), crop in zip(scenes, crops, strict=True):
        blobs = [run(plain, {"images": c[None]})["points"] for c in (crop_image(frame, matrix, SIZE), crop)]
        assert np.abs(blobs[0] - blobs[1]).max() < 1.0  # moved by the shift of under a frame px, no more


def test_a_graph_whose_images_go_elsewhere_is_refused() -> None:
    odd = graph(
        [("Shape", ["images"], "s", {}), ("Cast", ["s"], "points", {"to": 1})],
        {},
        {"images": ["B", 32, 32, 3]},
        ["points"],
    )
    with pytest.raises(InputError, match="something other than a Cast takes the images"):
        take_whole_frames(odd)
