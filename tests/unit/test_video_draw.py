"""Drawing: points and lines where they belong, to a part of a pixel, and nothing for what is not known."""

from __future__ import annotations

import numpy as np

from lmdeploy.types import Box, Landmarks
from lmdeploy.video.draw import DOUBTFUL, draw_faces
from tests.tiny_bundle import BLOBS3

POINTS = np.array([[40.0, 40.0], [100.0, 45.0], [70.0, 100.0]], np.float32)


def face(points: np.ndarray, score: float = 0.9, track: int = -1) -> Landmarks:
    scores = np.full(len(points), score, np.float32)
    return Landmarks(points.astype(np.float32), points, scores, scores, Box(0, 0, 1, 1), track=track)


def canvas() -> np.ndarray:
    return np.zeros((140, 140, 3), np.uint8)


def test_points_are_white_and_lines_join_them() -> None:
    image = draw_faces(canvas(), [face(POINTS)], BLOBS3)
    for x, y in POINTS.astype(int):
        assert image[y, x].min() > 200
    assert image[70:74, 52:58].max() > 100  # half way between red and blue
    assert image[20, 120].max() == 0


def test_drawing_is_in_place() -> None:
    image = canvas()
    assert draw_faces(image, [face(POINTS)], BLOBS3) is image


def test_a_part_of_a_pixel_moves_the_centre_of_brightness() -> None:
    def centre(x: float) -> float:
        alone = POINTS.copy()
        alone[0] = (x, 40.0)
        image = draw_faces(canvas(), [face(alone)], BLOBS3.model_copy(update={"skeleton": ()}))
        patch = image[38:43, 30:50].astype(float).sum(axis=(0, 2)) - image[38:43, 30:50].min()
        # the box's edge crosses the patch in grey; only what is brighter than it counts
        bright = np.clip(image[38:43, 30:50].astype(float).mean(axis=2) - 160, 0, None).sum(axis=0)
        assert patch.sum() > 0
        return float((bright * np.arange(30, 50)).sum() / bright.sum())

    moved = centre(40.5) - centre(40.0)
    assert 0.3 < moved < 0.7


def test_doubtful_points_are_orange() -> None:
    image = draw_faces(canvas(), [face(POINTS, score=0.01)], BLOBS3)
    np.testing.assert_allclose(image[40, 40], DOUBTFUL, atol=40)


def test_unknown_points_and_faces_are_left_out() -> None:
    gap = POINTS.copy()
    gap[2] = np.nan
    image = draw_faces(canvas(), [face(gap)], BLOBS3)
    assert image[40, 40].min() > 200
    assert image[100, 70].max() == 0
    assert draw_faces(canvas(), [face(np.full((3, 2), np.nan))], BLOBS3).max() == 0


def test_points_far_outside_do_no_harm() -> None:
    far = POINTS * 1e6
    assert draw_faces(canvas(), [face(far)], BLOBS3).shape == (140, 140, 3)


def test_id_is_written_above_the_box() -> None:
    with_id, without = (draw_faces(canvas(), [face(POINTS, track=t)], BLOBS3) for t in (7, -1))
    changed = np.argwhere((with_id != without).any(axis=2))
    assert changed[:, 0].min() > 14
    assert changed[:, 0].max() < 40
