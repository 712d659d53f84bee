"""How far a face's landmarks can be believed while another head may cover it.

A network that is shown a half-covered face still puts all points somewhere: they pile up on the visible side, so the
box shrinks and stays behind, and the score falls. What a face is like where nobody covers it is learned, and

    trust = 1 - max((shrunk - SHRINKS) / (PILED - SHRINKS), dropped / DROPS)      in [0, 1], 1 where nobody is near

with shrunk the share of its usual width or height that is missing, and dropped what its score has lost. Measured with
the built-in model on a portrait that passes behind another: three quarters of a face size apart the box has lost 0.1
to 0.2 of its width and the score 0.1, half a face size apart 0.3 and 0.3.
"""

from __future__ import annotations

from math import exp

from lmdeploy.geometry import landmark_box
from lmdeploy.types import Box, Landmarks

NEAR = (
    1.3  # landmark boxes larger by this overlap where one head may cover the other: heads are wider than their points
)
SHRINKS, PILED = 0.05, 0.2  # share of width or height lost, up to which a box is believed, and from which not at all
DROPS = 0.2  # of score, lost, from which points are not believed at all
ALONE_S, BESIDE_S = 0.3, 2.0  # s in which the usual is learned: alone, and beside somebody

Usual = tuple[float, float, float]
"""Width and height of a face's landmark box, px, and its mean score."""


def usual(face: Landmarks) -> Usual:
    """Width, height and score as they are now."""
    box = landmark_box(face.points)
    return box.width, box.height, float(face.score.mean())


def learned(before: Usual, now: Usual, seconds: float, beside: bool) -> Usual:
    """What is usual after `seconds` more; slowly where somebody is beside it."""
    a = 1 - exp(-max(seconds, 0.0) / (BESIDE_S if beside else ALONE_S))
    width, height, score = (old + a * (new - old) for old, new in zip(before, now, strict=True))
    return width, height, score


def near(box: Box, other: Box) -> bool:
    """One head may cover a part of the other."""
    (x, y), (u, v) = box.center, other.center
    wide, high = (box.width + other.width) / 2, (box.height + other.height) / 2
    return abs(x - u) < NEAR * wide and abs(y - v) < NEAR * high


def trust(before: Usual, now: Usual) -> float:
    """How far a face that somebody is near to is to be believed, 0 to 1."""
    shrunk = 1 - min(now[0] / before[0], now[1] / before[1])
    worse = max((shrunk - SHRINKS) / (PILED - SHRINKS), (before[2] - now[2]) / DROPS)
    return min(max(1 - worse, 0.0), 1.0)
