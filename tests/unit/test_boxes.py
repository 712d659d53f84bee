"""Which box an image gets, and which images get none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdeploy.boxes import boxes_for, fit_detector, iou
from lmdeploy.dataset import Sample
from lmdeploy.errors import DataError, InputError
from lmdeploy.geometry import BoxMap, landmark_box
from lmdeploy.types import Box
from tests.odd_images import smooth_picture, write_jpeg


class Scripted:
    """A detector that answers by the picture's width, which the tests use as its name."""

    name = "scripted"

    def __init__(self, answers):
        self.answers, self.calls = answers, 0

    def detect(self, image):
        self.calls += 1
        return self.answers.get(image.shape[1], [])


@pytest.fixture
def sample(tmp_path):
    def make(width, points=None, box=None):
        path = write_jpeg(tmp_path / f"{width}.jpg", smooth_picture(40, width))
        return Sample(f"{width}.jpg", path, None if points is None else np.array(points, np.float32), box=box)

    return make


FACE = [[10, 10], [20, 30]]


def test_gt_is_the_box_of_the_points_even_where_the_file_has_one(sample):
    boxed = boxes_for([sample(50, FACE, Box(0, 0, 1, 1))], "gt")
    assert boxed.boxes == (Box(10, 10, 20, 30),)
    assert (boxed.source, boxed.dropped) == ("gt", ())


def test_gt_of_an_unlabelled_image_is_refused(sample):
    with pytest.raises(InputError, match=r"50\.jpg has no label"):
        boxes_for([sample(50)], "gt")


def test_file_drops_and_names_what_has_no_row(sample):
    first, second = sample(50, FACE, Box(1, 2, 3, 4)), sample(51, FACE)
    boxed = boxes_for([second, first], "file")
    assert boxed.samples == (first,)
    assert boxed.boxes == (Box(1, 2, 3, 4),)
    assert boxed.dropped == ("51.jpg",)


def test_a_row_of_the_file_goes_before_the_detector(sample):
    detector = Scripted({51: [Box(0, 0, 10, 10)]})
    boxed = boxes_for([sample(50, FACE, Box(1, 2, 3, 4)), sample(51), sample(52)], "scripted", detector)
    assert boxed.boxes == (Box(1, 2, 3, 4), Box(0, 0, 10, 10))
    assert boxed.dropped == ("52.jpg",)
    assert detector.calls == 2
    assert boxed.source == "file, else scripted (as it is, no box map)"


def test_the_detector_s_own_map_is_applied(sample):
    detector = Scripted({50: [Box(0, 0, 10, 20)]})
    maps = {"scripted": BoxMap(dy=0.25, sw=0.5), "haar": BoxMap(dx=9)}
    boxed = boxes_for([sample(50)], "scripted", detector, maps)
    assert boxed.boxes == (Box(2.5, 5, 7.5, 25),)
    assert boxed.source == "scripted"


def test_of_several_faces_a_labelled_image_takes_its_own_and_another_the_largest(sample):
    large, own = Box(0, 0, 39, 39), Box(9, 9, 21, 31)
    detector = Scripted({50: [large, own], 51: [own, large]})
    boxed = boxes_for([sample(50, FACE), sample(51)], "scripted", detector)
    assert boxed.boxes == (own, large)


def test_a_detector_must_be_the_one_that_is_named(sample):
    for source, detector in (("scripted", None), ("haar", Scripted({})), ("truth", None)):
        with pytest.raises(InputError, match="choose gt, file, or"):
            boxes_for([sample(50)], source, detector)


def test_unreadable_images_are_named_together(sample, tmp_path):
    broken = [Sample(f"{n}.jpg", tmp_path / f"{n}.jpg") for n in "ab"]
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataError, match="2 images cannot be read") as caught:
        boxes_for([*broken, sample(50)], "scripted", Scripted({}))
    assert [Path(problem.split(":")[0]).name for problem in caught.value.problems] == ["a.jpg", "b.jpg"]


def test_fit_detector_learns_from_the_faces_that_it_finds(sample):
    """Three faces follow one map; one detection lies elsewhere, one face is not found."""
    true = BoxMap(dx=0.05, dy=0.1, sw=0.8, sh=0.9)
    detected = {50: Box(2, 2, 22, 24), 51: Box(5, 1, 30, 30), 52: Box(0, 0, 18, 21)}
    samples = []
    for width, box in detected.items():
        wanted = true.apply(box)
        samples.append(sample(width, [[wanted.x0, wanted.y0], [wanted.x1, wanted.y1]]))
    answers = {width: [Box(30, 30, 39, 39), box] for width, box in detected.items()}
    answers[53] = [Box(30, 30, 39, 39)]
    fitted = fit_detector([*samples, sample(53, FACE), sample(54, FACE)], Scripted(answers))
    assert [fitted.dx, fitted.dy, fitted.sw, fitted.sh] == pytest.approx([0.05, 0.1, 0.8, 0.9], abs=1e-4)


def test_fit_detector_needs_a_face_and_a_label(sample):
    with pytest.raises(InputError, match="scripted finds none of the 1"):
        fit_detector([sample(50, FACE)], Scripted({}))
    with pytest.raises(InputError, match="has no label"):
        fit_detector([sample(51)], Scripted({51: [Box(0, 0, 9, 9)]}))


grid = st.integers(0, 12)


@given(grid, grid, grid, grid, grid, grid, grid, grid)
def test_iou_counts_unit_squares(ax, ay, aw, ah, bx, by, bw, bh):
    def squares(x, y, w, h):
        return {(i, j) for i in range(x, x + w) for j in range(y, y + h)}

    a, b = squares(ax, ay, aw, ah), squares(bx, by, bw, bh)
    value = iou(Box(ax, ay, ax + aw, ay + ah), Box(bx, by, bx + bw, by + bh))
    assert value == pytest.approx(len(a & b) / len(a | b) if a | b else 0.0)


def test_landmark_box_of_the_truth_is_what_gt_means():
    assert landmark_box(np.array(FACE, float)) == Box(10, 10, 20, 30)


def test_gt_of_points_in_one_place_names_the_images(sample):
    """A single annotated point, and points in one place."""
    nan = [np.nan, np.nan]
    good, row = sample(60, [[1, 2], [30, 20]]), sample(63, [[1, 2], [30, 2]])  # two points in a row have a side
    one, same = sample(61, [[5, 5], nan]), sample(62, [[5, 5], [5, 5]])
    assert len(boxes_for([good, row], "gt").boxes) == 2
    with pytest.raises(DataError, match="2 images have all points in one place") as caught:
        boxes_for([good, one, row, same], "gt")
    assert caught.value.problems == ("61.jpg", "62.jpg")
