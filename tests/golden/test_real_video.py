"""The built-in model on a real clip: followed from the first frame to the last, steady, with detector and tracker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lmdeploy.boxes import iou
from lmdeploy.bundle import find_bundle
from lmdeploy.errors import BundleError
from lmdeploy.geometry import landmark_box
from lmdeploy.landmarker import Landmarker
from lmdeploy.types import Landmarks
from lmdeploy.video.follow import Following
from lmdeploy.video.pipeline import Summary, run
from lmdeploy.video.smooth import Smoother, face_size
from lmdeploy.video.source import open_source
from lmdeploy.video.track import Tracker
from tests.blob_video import Kept

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def followed(shared_data: Path) -> tuple[Summary, list[Landmarks]]:
    """The clip's summary and its one face in every frame."""
    try:
        find_bundle("face68")
    except BundleError:
        pytest.skip("the built-in model face68 is not in this checkout")
    kept = Kept()
    with Landmarker.load("face68", threads=1) as landmarker:
        source = open_source(shared_data / "video" / "demo-sbr.mp4")
        summary = run(source, lambda: landmarker, Following(Tracker(), Smoother()), [kept])
    return summary, [face for some in kept.faces for face in some]


def test_one_face_is_followed_through_the_whole_clip(followed: tuple[Summary, list[Landmarks]]) -> None:
    summary, faces = followed
    assert summary.frames == summary.with_face == len(faces) == 275
    assert {face.track for face in faces} == {0}
    assert summary.stages["detect"].calls == 1


def test_times_are_the_clips(followed: tuple[Summary, list[Landmarks]]) -> None:
    times = [face.time_ms or 0.0 for face in followed[1]]
    np.testing.assert_allclose(times, np.arange(275) * 1000 / 30, atol=0.5)


def test_smoothing_halves_the_trembling_and_hardly_lags(followed: tuple[Summary, list[Landmarks]]) -> None:
    raw = np.stack([face.points_raw for face in followed[1]])
    smooth = np.stack([face.points for face in followed[1]])
    size = np.mean([face_size(points) for points in raw])
    tremble, calm = (np.sqrt((np.diff(x, 2, axis=0) ** 2).sum(axis=2).mean()) for x in (raw, smooth))
    assert calm < 0.75 * tremble  # measured 0.61
    lag = np.linalg.norm(smooth - raw, axis=2).mean(axis=1) / size
    assert lag.max() < 0.02  # of the face's size; measured 0.007


def test_yunet_finds_the_face_where_tracking_has_it(
    followed: tuple[Summary, list[Landmarks]], shared_data: Path
) -> None:
    yunet = shared_data / "models" / "face_detection_yunet_2023mar.onnx"
    frames = [frame.image for frame in open_source(shared_data / "video" / "demo-sbr.mp4")]
    with Landmarker.load("face68", threads=1, detector="yunet", yunet=yunet) as landmarker:
        for index in (0, 90, 180, 274):
            (box, *_) = landmarker.detect(frames[index])
            assert iou(box, landmark_box(followed[1][index].points)) > 0.6
