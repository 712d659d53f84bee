"""Tracking: the detector is asked only when it must be, ids stay, what is lost is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lmdeploy.boxes import iou
from lmdeploy.errors import InputError
from lmdeploy.geometry import landmark_box
from lmdeploy.landmarker import Landmarker
from lmdeploy.model import open_model
from lmdeploy.types import U8, Box
from lmdeploy.video import track
from lmdeploy.video.track import Tracker
from tests.tiny_bundle import blob_image

SHAPE = np.array([[0.0, 0.0], [40.0, 4.0], [18.0, 45.0]])
PX = 0.25


class Oracle:
    """A detector that knows where the faces are, and counts how often it is asked."""

    name = "oracle"

    def __init__(self) -> None:
        self.boxes: list[Box] = []
        self.calls = 0

    def detect(self, image: U8) -> list[Box]:
        self.calls += 1
        return self.boxes


@pytest.fixture
def detector() -> Oracle:
    return Oracle()


@pytest.fixture
def landmarker(bundle: Path, detector: Oracle) -> Landmarker:
    return Landmarker(open_model(bundle, threads=1), lambda: detector)


def scene(*places: tuple[float, float]) -> tuple[U8, list[Box]]:
    """An image with a face at each place, and their landmark boxes."""
    image = np.full((240, 480, 3), 60, np.uint8)
    for place in places:
        image = np.maximum(image, blob_image(240, 480, SHAPE + place))
    return image, [landmark_box(SHAPE + place) for place in places]


def test_one_detection_follows_a_moving_face(landmarker: Landmarker, detector: Oracle) -> None:
    tracker = Tracker()
    for frame in range(40):
        place = (40 + 6.0 * frame, 60 + 20 * np.sin(frame / 5))
        image, boxes = scene(place)
        detector.boxes = boxes if frame == 0 else []
        (found,) = tracker.update(landmarker, image)
        assert found.track == 0
        np.testing.assert_allclose(found.points, SHAPE + place, atol=PX)
    assert detector.calls == 1


@pytest.mark.parametrize("jump", [(26, 20), (-24, 24), (30, 0)])
def test_a_face_at_the_edge_of_its_crop_is_looked_at_from_where_it_is(
    landmarker: Landmarker, detector: Oracle, jump: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def error() -> float:
        tracker = Tracker()
        image, detector.boxes = scene((100, 90))
        tracker.update(landmarker, image)
        place = np.array([100, 90]) + jump
        (found,) = tracker.update(landmarker, scene((place[0], place[1]))[0])
        assert found.track == 0
        return float(np.abs(found.points - (SHAPE + place)).max())

    assert error() < PX
    monkeypatch.setattr(track, "SETTLED", 0.0)
    assert error() > PX


def test_the_crop_follows_the_landmark_box_of_the_frame_before(landmarker: Landmarker, detector: Oracle) -> None:
    tracker = Tracker()
    image, detector.boxes = scene((100, 60))
    tracker.update(landmarker, image)
    for shift in range(6, 60, 6):
        (found,) = tracker.update(landmarker, scene((100 + shift, 60))[0])
        before = landmark_box(SHAPE + np.array([94 + shift, 60]))
        assert 0 < before.x0 - found.box.x0 < 0.03 * 45 + PX  # on its rope of 3 %
        assert before.width == pytest.approx(found.box.width, abs=2 * PX)


def test_the_crop_stays_put_while_the_face_hardly_moves(landmarker: Landmarker, detector: Oracle) -> None:
    tracker = Tracker()
    image, detector.boxes = scene((100, 60))
    (first,) = tracker.update(landmarker, image)
    for shift in (0.4, -0.3, 0.6):  # px; 2 % of the box are 0.9
        (found,) = tracker.update(landmarker, scene((100 + shift, 60))[0])
        assert found.box == first.box
        np.testing.assert_allclose(found.points, SHAPE + np.array([100 + shift, 60]), atol=PX)


def test_lost_face_asks_the_detector_until_it_is_back_with_its_id(landmarker: Landmarker, detector: Oracle) -> None:
    tracker = Tracker()
    image, boxes = scene((100, 60))
    empty, _ = scene()
    detector.boxes = boxes
    tracker.update(landmarker, image)
    detector.boxes = []
    for _ in range(3):
        assert tracker.update(landmarker, empty) == []
    assert detector.calls == 4
    detector.boxes = boxes
    (back,) = tracker.update(landmarker, image)
    assert back.track == 0


def test_face_elsewhere_gets_a_new_id(landmarker: Landmarker, detector: Oracle) -> None:
    tracker = Tracker()
    image, detector.boxes = scene((100, 60))
    tracker.update(landmarker, image)
    tracker.update(landmarker, scene()[0])
    image, detector.boxes = scene((300, 100))
    (other,) = tracker.update(landmarker, image)
    assert other.track == 1


def test_false_detection_is_refused_by_its_score(landmarker: Landmarker, detector: Oracle) -> None:
    image, _ = scene()
    detector.boxes = [Box(50, 50, 120, 120)]
    assert Tracker().update(landmarker, image) == []


def test_min_score_decides(landmarker: Landmarker, detector: Oracle) -> None:
    image, detector.boxes = scene((100, 60))
    (found,) = Tracker(min_score=0.2).update(landmarker, image)
    strict = Tracker(min_score=float(found.score.mean()) + 0.01)
    assert strict.update(landmarker, image) == []


def test_face_that_leaves_the_frame_is_lost(landmarker: Landmarker, detector: Oracle) -> None:
    tracker = Tracker()
    counts = []
    for frame in range(30):
        image, boxes = scene((380 + 5.0 * frame, 80))
        detector.boxes = boxes if frame == 0 else []
        counts.append(len(tracker.update(landmarker, image)))
    assert counts[0] == 1
    assert counts[-1] == 0
    assert sorted(counts, reverse=True) == counts  # it does not come back


def test_degenerate_points_are_lost(landmarker: Landmarker, detector: Oracle) -> None:
    """All blobs in one place: a box without area must not reach the cropper."""
    tracker = Tracker()
    image, detector.boxes = scene((100, 60))
    tracker.update(landmarker, image)
    detector.boxes = []
    collapsed = blob_image(240, 480, np.full((3, 2), 120.0))
    assert tracker.update(landmarker, collapsed) == []
    assert tracker.update(landmarker, collapsed) == []


def test_several_faces_keep_their_ids_when_the_detector_reorders(landmarker: Landmarker, detector: Oracle) -> None:
    tracker = Tracker(max_faces=3, detect_every=2)
    for frame in range(9):
        image, boxes = scene((60 + 3.0 * frame, 40), (220 + 3.0 * frame, 120))
        detector.boxes = boxes[::-1] if frame % 2 else boxes
        found = tracker.update(landmarker, image)
        assert [f.track for f in found] == [0, 1]
        np.testing.assert_allclose(found[0].points, SHAPE + np.array([60 + 3.0 * frame, 40]), atol=PX)
        np.testing.assert_allclose(found[1].points, SHAPE + np.array([220 + 3.0 * frame, 120]), atol=PX)


def test_face_that_joins_is_found_at_the_next_detection(landmarker: Landmarker, detector: Oracle) -> None:
    tracker = Tracker(max_faces=2, detect_every=5)
    counts = []
    for frame in range(8):
        image, detector.boxes = scene(*[(60, 40), (260, 120)][: 1 if frame == 0 else 2])
        counts.append(len(tracker.update(landmarker, image)))
    assert counts == [1, 1, 1, 1, 1, 2, 2, 2]


def test_no_more_than_max_faces_and_then_no_more_detection(landmarker: Landmarker, detector: Oracle) -> None:
    tracker = Tracker(max_faces=1, detect_every=2)
    image, detector.boxes = scene((60, 40), (260, 120))
    for _ in range(6):
        assert len(tracker.update(landmarker, image)) == 1
    assert detector.calls == 1


def test_two_tracks_on_one_face_become_the_older(landmarker: Landmarker, detector: Oracle) -> None:
    tracker = Tracker(max_faces=2)
    image, boxes = scene((60, 40))
    wide = Box(boxes[0].x0 - 8, boxes[0].y0 - 8, boxes[0].x1 + 8, boxes[0].y1 + 8)
    detector.boxes = [boxes[0], wide]
    assert [f.track for f in tracker.update(landmarker, image)] == [0]


def test_overlap() -> None:
    assert iou(Box(0, 0, 10, 10), Box(0, 0, 10, 10)) == 1.0
    assert iou(Box(0, 0, 10, 10), Box(5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert iou(Box(0, 0, 10, 10), Box(10, 0, 15, 10)) == 0.0


def test_impossible_options_are_refused() -> None:
    with pytest.raises(InputError, match="max_faces"):
        Tracker(max_faces=0)
    with pytest.raises(InputError, match="detect_every"):
        Tracker(detect_every=-1)
