"""One view of several sources: each picture in its tile, and the landmarks on what they are in the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from lmdeploy.show.tiles import Tiles
from lmdeploy.types import F64, U8, Box, HeadPose, Landmarks
from lmdeploy.video.frame import Frame
from tests.tiny_bundle import blob_image

POINTS = np.array([[40.0, 30.0], [110.0, 36.0], [70.0, 80.0]])  # red, green, blue


@dataclass
class Screen:
    """What a view was given last."""

    drawn: bool = False
    frames: list[Frame] = field(default_factory=list)
    faces: list[Landmarks] = field(default_factory=list)
    pictures: list[U8 | None] = field(default_factory=list)
    stopped: bool = False
    closed: int = 0

    def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None) -> None:
        self.frames.append(frame)
        self.faces = list(faces)
        self.pictures.append(picture)

    def stop(self) -> None:
        self.stopped = True

    def close(self) -> None:
        self.closed += 1


def face(pose: HeadPose | None = None) -> Landmarks:
    points, ones = POINTS.astype(np.float32), np.ones(3, np.float32)
    return Landmarks(points, points, ones, ones, Box(40, 30, 110, 80), pose=pose)


def frame(source: str, size: tuple[int, int]) -> Frame:
    return Frame(blob_image(*size, POINTS, sigma=5.0), 3, 100.0, "x.jpg", source=source)


def centroids(image: U8) -> F64:
    """Where the red, the green and the blue blob of a part of the picture are, px; found by colour alone."""
    found = []
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    for channel in range(3):
        weight = np.clip(1.5 * image[..., channel].astype(float) - 0.5 * image.sum(axis=2) - 20, 0, None)
        found.append([(weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()])
    return np.array(found)


@pytest.mark.parametrize("size", [(120, 160), (240, 160), (1200, 1900)])  # height, width: wider, taller, larger
def test_landmarks_stand_on_the_blobs_of_their_tile(size: tuple[int, int]) -> None:
    screen = Screen()
    tiles = Tiles(screen, {"a": 0, "b": 1, "c": 2})
    tiles.write(frame("b", size), [face()], None)
    (moved,) = screen.faces
    whole = screen.frames[-1].image
    assert whole.shape == (1080, 1920, 3)
    part = whole[:500, 960:]  # upper right; without its label
    np.testing.assert_allclose(moved.points, centroids(part) + np.array([960, 0]), atol=0.4)
    assert (moved.box.x0, moved.box.y1) == pytest.approx((moved.points[0, 0], moved.points[2, 1]), abs=0.01)
    assert whole[:, :960].max() == whole[540:].max() == 0  # the others have no picture yet


def test_the_newest_of_each_stays_and_all_faces_are_there() -> None:
    screen = Screen()
    tiles = Tiles(screen, {"a": 0, "b": 1})
    tiles.write(frame("a", (120, 160)), [face()], None)
    first = screen.frames[-1].image.copy()
    tiles.write(frame("b", (120, 160)), [face(), face()], None)
    assert len(screen.faces) == 3
    whole = screen.frames[-1].image
    assert (whole[:, :960] == first[:, :960]).all()
    assert (screen.frames[0].image == first).all()  # what a viewer may still look at is not drawn over
    tiles.write(frame("a", (120, 160)), [], None)
    assert len(screen.faces) == 2
    times = [shown.time_ms for shown in screen.frames]
    assert [shown.index for shown in screen.frames] == [0, 1, 2]
    assert all(time is not None for time in times)  # none is a still image that waits for a key


def test_a_window_gets_the_drawn_picture() -> None:
    screen = Screen(drawn=True)
    drawn = np.full((120, 160, 3), 200, np.uint8)
    tiles = Tiles(screen, {"a": 0, "b": 1})
    assert tiles.drawn
    tiles.write(frame("a", (120, 160)), [face()], drawn)
    assert screen.pictures[-1] is not None
    assert (screen.pictures[-1][100:400, 200:700] == 200).all()


def test_axes_of_a_head_move_along() -> None:
    screen = Screen()
    axes = np.array([[40.0, 30.0], [110.0, 36.0], [70.0, 80.0], [40.0, 30.0]], np.float32)
    pose = HeadPose(0, 0, 0, np.eye(3), np.zeros(3), 0.0, axes)
    Tiles(screen, {"a": 0, "b": 1}).write(frame("a", (120, 160)), [face(pose)], None)
    (moved,) = screen.faces
    assert moved.pose is not None
    np.testing.assert_allclose(moved.pose.axes[:3], moved.points)
    np.testing.assert_allclose(axes[0], [40, 30])  # the caller's own stay


def test_end_and_stop_reach_the_view() -> None:
    screen = Screen()
    tiles = Tiles(screen, {"a": 0, "b": 1})
    tiles.stop()
    tiles.close()
    assert (screen.stopped, screen.closed) == (True, 1)
