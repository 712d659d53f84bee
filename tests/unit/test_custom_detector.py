"""A detector of the caller's own: taken by Landmarker.load, mapped by its name, and judged by its answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmdeploy import Box, InputError, Landmarker
from lmdeploy.geometry import BoxMap
from lmdeploy.landmarker import Landmarker as Plain
from lmdeploy.types import U8
from tests.fake_model import constant, fake_model

IMAGE = np.zeros((60, 80, 3), np.uint8)
LOW, HIGH = Box(1, 2, 31, 42, 0.3), Box(20, 10, 50, 50, 0.9)


class Mine:
    """No name, no base class: just `detect`."""

    def __init__(self, answer: Any = (LOW, HIGH)) -> None:
        self.answer, self.seen = answer, []  # type: ignore[var-annotated]  # images of any kind

    def detect(self, image: U8) -> Sequence[Box]:
        self.seen.append(image)
        return self.answer


class Named(Mine):
    name = "mine"


def test_an_object_with_detect_is_a_detector_whose_boxes_are_landmark_boxes(bundle: Path) -> None:
    mine = Mine()
    with Landmarker.load(bundle, threads=1, detector=mine) as landmarker:
        assert mine.seen == []  # loading asks nothing of it
        assert [face.box for face in landmarker.predict(IMAGE)] == [HIGH, LOW]  # best first
    (image,) = mine.seen
    assert image is IMAGE


def test_it_sees_rgb_whatever_the_caller_has(bundle: Path) -> None:
    mine = Mine([])
    picture = np.arange(60 * 80 * 3, dtype=np.uint8).reshape(60, 80, 3)
    with Landmarker.load(bundle, threads=1, detector=mine) as landmarker:
        assert landmarker.predict(picture, color="bgr") == []
        landmarker.predict(picture[..., 0])
    np.testing.assert_array_equal(mine.seen[0], picture[..., ::-1])
    assert mine.seen[1].shape == (60, 80, 3)


@pytest.mark.parametrize(("mine", "x0"), [(Named(), 23.0), (Mine(), 20.0)])
def test_its_name_is_the_key_of_the_box_map(mine: Mine, x0: float) -> None:
    """dx = 0.1 of 30 px moves the box by 3 px."""
    from lmdeploy.detect import detector_opener

    model = fake_model(constant(np.zeros((68, 2), np.float32)), detectors={"mine": BoxMap(dx=0.1)})
    assert Plain(model, detector_opener(mine)).detect(IMAGE)[0].x0 == pytest.approx(x0)


def test_it_is_followed_on_streams(bundle: Path, tmp_path: Path) -> None:
    from tests.blob_video import SHAPE, truth, write_blob_video

    low, high = truth(0).min(axis=0), truth(0).max(axis=0)
    mine = Mine([Box(*low, *high)])
    video = write_blob_video(tmp_path / "blobs.mp4", 5)
    with Landmarker.load(bundle, threads=1, detector=mine) as landmarker, landmarker.stream(video) as stream:
        tracks = [[face.track for face in seen.faces] for seen in stream]
    assert tracks == [[0]] * 5
    assert len(mine.seen) == 1  # from then on the face is followed
    assert len(SHAPE) == 3


@pytest.mark.parametrize(
    ("detector", "sentence"),
    [
        (object(), r"detector is object: give haar.*detect\(image\) -> list\[lmdeploy.Box\]"),
        (lambda image: [], "detector is function: give haar"),
        (Mine, r"detector is the class Mine: give an object of it, Mine\(...\)"),
        (None, "detector is NoneType"),
        ("mtcnn", "choose one of haar, whole_image, yunet"),
    ],
)
def test_anything_else_is_refused_before_the_model_is_opened(detector: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Landmarker.load("no such bundle", detector=detector)


def test_a_name_that_is_no_text_is_refused() -> None:
    mine = Mine()
    mine.name = 3  # type: ignore[attr-defined]  # the mistake under test
    with pytest.raises(InputError, match=r"Mine\.name is int: give a text"):
        Landmarker.load("no such bundle", detector=mine)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(None, "NoneType"), ([None], "NoneType"), ([(1, 2, 3, 4)], "tuple"), (np.zeros((1, 4)), "ndarray"), (LOW, "Box")],
)
def test_an_answer_that_is_no_list_of_boxes_is_told(bundle: Path, answer: Any, kind: str) -> None:
    told = rf"Mine\.detect answers with {kind}: give a list of lmdeploy\.Box"
    with (
        Landmarker.load(bundle, threads=1, detector=Mine(answer)) as landmarker,
        pytest.raises(InputError, match=told),
    ):
        landmarker.predict(IMAGE)


@pytest.mark.parametrize(
    ("boxes", "sentence"),
    [
        (LOW, "boxes of an image are Box: give a list of Box"),
        ([(1, 2, 3, 4)], r"a box is given as tuple: give lmdeploy\.Box\(x0, y0, x1, y1\) in image px"),
        (np.zeros((2, 4)), "a box is given as ndarray"),
        ([LOW, None], "a box is given as NoneType"),
    ],
)
def test_boxes_that_are_none_are_told(bundle: Path, boxes: Any, sentence: str) -> None:
    with Landmarker.load(bundle, threads=1) as landmarker, pytest.raises(InputError, match=sentence):
        landmarker.predict(IMAGE, boxes)


def test_boxes_of_a_batch_are_one_list_an_image(bundle: Path) -> None:
    with Landmarker.load(bundle, threads=1) as landmarker:
        for boxes, sentence in [(LOW, "2 images but one Box"), ([[LOW], None], "boxes of an image are NoneType")]:
            with pytest.raises(InputError, match=sentence):
                landmarker.predict_batch([IMAGE, IMAGE], boxes)  # type: ignore[arg-type]  # the mistakes under test
