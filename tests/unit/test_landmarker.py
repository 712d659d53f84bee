"""Landmarker: image in, landmarks in image pixels out, whatever the box, the colour order and the batch."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from lmdeploy import Box, InputError, Landmarker, Landmarks
from lmdeploy.geometry import CropRule, landmark_box
from lmdeploy.landmarker import MAX_BATCH
from lmdeploy.model import Model, open_model
from lmdeploy.types import U8
from tests.counting_backend import Counting
from tests.tiny_bundle import blob_image

POINTS = np.array([[210.4, 150.0], [251.0, 154.5], [228.2, 195.7]])
PX = 0.1  # image px; measured 0.04 at a crop of 64 px over 90 px


@pytest.fixture
def landmarker(bundle: Path) -> Landmarker:
    return Landmarker.load(bundle, threads=1, detector="whole_image")


def face(shift: float = 0.0) -> tuple[U8, Box]:
    moved = POINTS + shift
    return blob_image(360, 480, moved), landmark_box(moved)


def test_points_come_back_in_image_pixels(landmarker: Landmarker) -> None:
    image, box = face()
    (found,) = landmarker.predict(image, [box])
    np.testing.assert_allclose(found.points, POINTS, atol=PX)
    assert found.points.dtype == np.float32
    assert found.box == box
    assert found.points_raw is found.points
    assert (found.frame, found.time_ms, found.track) == (0, None, -1)


@pytest.mark.parametrize("zoom", [1.0, 1.6, 2.7])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (7.3, -5.1)])
def test_the_answer_does_not_depend_on_the_box(
    landmarker: Landmarker, zoom: float, shift: tuple[float, float]
) -> None:
    image, box = face()
    (cx, cy), w, h = box.center, box.width * zoom / 2, box.height * zoom / 2
    moved = Box(cx + shift[0] - w, cy + shift[1] - h, cx + shift[0] + w, cy + shift[1] + h)
    (found,) = landmarker.predict(image, [moved])
    np.testing.assert_allclose(found.points, POINTS, atol=2.5 * PX)  # coarser pixels in the wider crop


def test_spread_is_in_image_pixels(landmarker: Landmarker) -> None:
    image, box = face()
    (near,) = landmarker.predict(image, [box])
    twice = Box(box.x0 - box.width / 2, box.y0 - box.height / 2, box.x1 + box.width / 2, box.y1 + box.height / 2)
    (far,) = landmarker.predict(image, [twice])
    np.testing.assert_allclose(far.spread, near.spread, rtol=0.25)  # in crop px it would halve


def test_bgr_and_rgb_agree_and_grey_finds_no_colour(landmarker: Landmarker) -> None:
    image, box = face()
    (rgb,) = landmarker.predict(image, [box])
    (bgr,) = landmarker.predict(image[..., ::-1], [box], color="bgr")
    np.testing.assert_array_equal(rgb.points, bgr.points)
    (grey,) = landmarker.predict(image[..., 1], [box])
    assert grey.score.max() == 0.0
    (wrong,) = landmarker.predict(image, [box], color="bgr")
    np.testing.assert_allclose(wrong.points, POINTS[::-1][[0, 1, 2]], atol=PX)  # red and blue change places


def test_strided_views_work(landmarker: Landmarker) -> None:
    image, box = face()
    big = np.zeros((400, 500, 3), np.uint8)
    big[20:380, 10:490] = image
    (found,) = landmarker.predict(big[20:380, 10:490], [box])
    np.testing.assert_allclose(found.points, POINTS, atol=PX)


def test_many_boxes_go_through_the_network_at_once(landmarker: Landmarker) -> None:
    image, box = face()
    counting = Counting(landmarker.model.backend)
    landmarker.model = Model(landmarker.spec, counting, "d")
    boxes = [Box(box.x0 - d, box.y0 - d, box.x1 + d, box.y1 + d) for d in range(5)]
    found = landmarker.predict(image, boxes)
    assert counting.batches == [5]
    assert [f.box for f in found] == boxes
    for one in found:
        np.testing.assert_allclose(one.points, POINTS, atol=2 * PX)


def test_batches_are_bounded_and_results_keep_their_image(landmarker: Landmarker) -> None:
    counting = Counting(landmarker.model.backend)
    landmarker.model = Model(landmarker.spec, counting, "d")
    shifts = np.linspace(-20, 20, MAX_BATCH + 3)
    faces = [face(float(s)) for s in shifts]
    found = landmarker.predict_batch([f[0] for f in faces], [[f[1]] for f in faces])
    assert counting.batches == [MAX_BATCH, 3]
    for (one,), shift in zip(found, shifts, strict=True):
        np.testing.assert_allclose(one.points, POINTS + shift, atol=PX)


def test_results_survive_the_next_call(landmarker: Landmarker) -> None:
    image, box = face()
    (first,) = landmarker.predict(image, [box])
    kept = first.points.copy()
    landmarker.predict(*[face(15)[0], [face(15)[1]]])
    np.testing.assert_array_equal(first.points, kept)


def test_images_without_boxes_give_nothing(landmarker: Landmarker) -> None:
    image, box = face()
    assert landmarker.predict(image, []) == []
    assert [len(x) for x in landmarker.predict_batch([image, image, image], [[], [box], []])] == [0, 1, 0]


def test_detector_boxes_are_mapped_by_the_bundle(landmarker: Landmarker) -> None:
    image = blob_image(90, 90, POINTS - [180, 130])
    (box,) = landmarker.detect(image)
    assert (box.width, box.height) == (45, 45)  # the fixture's map halves what its crop rule doubles
    (found,) = landmarker.predict(image)
    np.testing.assert_allclose(found.points, POINTS - [180, 130], atol=PX)


def test_detector_without_a_map_is_taken_as_it_is(bundle: Path) -> None:
    model = open_model(bundle, threads=1)
    bare = Model(model.spec.model_copy(update={"detectors": {}}), model.backend, model.digest)
    landmarker = Landmarker(bare, FixedDetector)
    assert landmarker.detect(np.zeros((90, 90, 3), np.uint8)) == [Box(1, 2, 31, 42, 0.9), Box(0, 0, 10, 10, 0.5)]


class FixedDetector:
    """Two boxes, worst first."""

    name = "fixed"

    def detect(self, image: U8) -> list[Box]:
        return [Box(0, 0, 10, 10, 0.5), Box(1, 2, 31, 42, 0.9)]


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((9, 9, 3), np.float32),
        np.zeros((9, 9, 4), np.uint8),
        np.zeros((1, 9, 9, 3), np.uint8),
        np.zeros((0, 9, 3), np.uint8),
        [[1]],
    ],
    ids=["float", "alpha", "batch", "empty", "list"],
)
def test_wrong_images_are_named(landmarker: Landmarker, image: U8) -> None:
    with pytest.raises(InputError, match="image must be"):
        landmarker.predict(image, [Box(0, 0, 4, 4)])


def test_other_wrong_arguments_are_named(landmarker: Landmarker, bundle: Path) -> None:
    image, box = face()
    with pytest.raises(InputError, match="neither 'rgb' nor 'bgr'"):
        landmarker.predict(image, [box], color="hsv")  # type: ignore[arg-type]  # what a user may type
    with pytest.raises(InputError, match="has no area"):
        landmarker.predict(image, [Box(4, 4, 4, 4)])
    with pytest.raises(InputError, match="has no area"):
        landmarker.predict(image, [Box(float("nan"), 4, 8, 9)])
    with pytest.raises(InputError, match="2 images but boxes for 1"):
        landmarker.predict_batch([image, image], [[box]])
    with pytest.raises(InputError, match="no detector 'retina'"):
        Landmarker.load(bundle, detector="retina")


def test_threads_can_share_one(landmarker: Landmarker) -> None:
    faces = [face(float(s)) for s in range(-8, 8)]
    wrong: list[int] = []

    def work(index: int) -> None:
        image, box = faces[index]
        for _ in range(20):
            (found,) = landmarker.predict(image, [box])
            if np.abs(found.points - (POINTS + index - 8)).max() > PX:
                wrong.append(index)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(faces))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


def test_observer_hears_every_stage(landmarker: Landmarker) -> None:
    heard: list[tuple[str, float]] = []
    landmarker.observe = lambda stage, ms: heard.append((stage, ms))
    landmarker.predict(face()[0])
    assert [stage for stage, _ in heard] == ["detect", "crop", "network", "back_map"]
    assert all(ms >= 0 for _, ms in heard)


def test_closing_ends_it(bundle: Path) -> None:
    with Landmarker.load(bundle, threads=1) as landmarker:
        image, box = face()
        assert isinstance(landmarker.predict(image, [box])[0], Landmarks)
    with pytest.raises(InputError, match="closed"):
        landmarker.predict(image, [box])


def test_stretched_crops_map_back(tmp_path: Path, bundle: Path) -> None:
    model = open_model(bundle, threads=1)
    spec = model.spec.model_copy(update={"crop": CropRule(kind="stretch", scale=2.0, size=64)})
    image, box = face()
    wide = Box(box.x0 - 30, box.y0, box.x1 + 30, box.y1)
    (found,) = Landmarker(Model(spec, model.backend, ""), FixedDetector).predict(image, [wide])
    np.testing.assert_allclose(found.points, POINTS, atol=2.5 * PX)
