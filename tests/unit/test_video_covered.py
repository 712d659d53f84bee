"""How far a covered face is believed, and what two faces look like."""

from __future__ import annotations

import numpy as np
import pytest

from lmdeploy.types import U8, Box, Landmarks
from lmdeploy.video.covered import ALONE_S, BESIDE_S, learned, near, trust, usual
from lmdeploy.video.likeness import likeness, look

WHOLE = (100.0, 120.0, 0.8)
FACE = Box(20, 30, 100, 110)


@pytest.mark.parametrize(
    ("now", "worth"),
    [
        (WHOLE, 1.0),
        ((130.0, 140.0, 0.9), 1.0),  # it comes nearer
        ((96.0, 116.0, 0.8), 1.0),  # the points' own noise
        ((87.5, 120.0, 0.8), 0.5),  # 12.5 % of its width: half the way from 5 to 20 %
        ((100.0, 105.0, 0.8), 0.5),
        ((80.0, 120.0, 0.8), 0.0),
        ((100.0, 120.0, 0.75), 0.75),
        ((87.5, 120.0, 0.65), 0.25),  # the worse one counts
        ((100.0, 120.0, 0.5), 0.0),
    ],
)
def test_a_face_that_shrinks_or_scores_less_is_believed_less(now: tuple[float, float, float], worth: float) -> None:
    assert trust(WHOLE, now) == pytest.approx(worth)


def test_the_usual_is_learned_fast_alone_and_slowly_beside_somebody() -> None:
    smaller = (60.0, 80.0, 0.4)
    part = 1 - np.exp(-1)  # after one time constant
    went = tuple(a + part * (b - a) for a, b in zip(WHOLE, smaller, strict=True))
    assert learned(WHOLE, smaller, ALONE_S, beside=False) == pytest.approx(went)
    assert learned(WHOLE, smaller, BESIDE_S, beside=True) == pytest.approx(went)
    assert learned(WHOLE, smaller, -1.0, beside=False) == WHOLE  # times can go back


def test_the_usual_of_a_face() -> None:
    points, score = np.float32([[1, 2], [11, 5], [4, 22]]), np.float32([0.2, 0.4, 0.9])
    assert usual(Landmarks(points, points, score, score, FACE)) == pytest.approx((10, 20, 0.5))


def test_heads_are_near_before_their_landmark_boxes_touch() -> None:
    assert near(FACE, Box(120, 30, 200, 110))  # a quarter of a face between them
    assert not near(FACE, Box(126, 30, 206, 110))
    assert not near(FACE, Box(20, 136, 100, 216))


def halves(axis: int, low: int, high: int) -> U8:
    """u8[140,120,3]: two grey halves of FACE."""
    image = np.full((140, 120, 3), low, np.uint8)
    image[(slice(None),) * axis + (slice(61 + 10 * (axis == 0), None),)] = high
    return image


def test_a_look_is_free_of_brightness_and_contrast_but_not_of_its_place() -> None:
    left = look(halves(1, 40, 200), FACE)
    assert left.shape == (192,)
    assert likeness(left, look(halves(1, 90, 130), FACE)) == pytest.approx(1, abs=0.01)
    assert likeness(left, look(halves(1, 200, 40), FACE)) == pytest.approx(-1, abs=0.01)
    assert likeness(left, look(halves(0, 40, 200), FACE)) == pytest.approx(0, abs=0.05)


def test_a_look_knows_colours_of_one_brightness() -> None:
    red, blue = (np.full((140, 120, 3), 90, np.uint8) for _ in range(2))
    red[..., 0], blue[..., 2] = 180, 180
    assert likeness(look(red, FACE), look(blue, FACE)) == pytest.approx(-0.5, abs=0.01)  # (2,-1,-1) . (-1,-1,2) / 6


def test_nothing_to_see_is_like_nothing() -> None:
    grey = look(np.full((140, 120, 3), 90, np.uint8), FACE)
    assert not grey.any()
    outside = look(halves(1, 40, 200), Box(500, 500, 580, 580))
    assert likeness(outside, look(halves(1, 40, 200), FACE)) == 0
