"""Shapes: a white square and a white equilateral triangle on black (Honari et al., Section 4.1, Fig. 3).

Circumradius U(5, 9) px each, rotation U(0, 360) degrees, centres anywhere at which both lie wholly inside and do not
touch (|c1 - c2| >= r1 + r2 + 1 px). The class says which is nearer to the upper left corner: 0 the square, 1 the
triangle; ties under 0.5 px are drawn again. The landmarks are the centres, the square first; training never sees them.

Differs from the paper: it states no sizes.
"""

from __future__ import annotations

import numpy as np

from lmdeploy.types import F32, U8
from training.data.drawn import SIDE, Drawn, fill, rotation

RADIUS_PX = (5.0, 9.0)
GAP_PX = 1.0
TIE_PX = 0.5
CORNERS = (4, 3)


def draw(count: int, seed: int) -> Drawn:
    """`count` images, classes in turn before they are shuffled; the same seed draws the same ones."""
    random = np.random.default_rng(seed)
    classes = random.permutation(np.arange(count) % 2)
    images, points = np.empty((count, SIDE, SIDE), np.uint8), np.empty((count, 2, 2), np.float32)
    for i, label in enumerate(classes):
        images[i], points[i] = one(int(label), random)
    return Drawn(images, points, classes.astype(np.int64), "nearer", 2)


def one(label: int, random: np.random.Generator) -> tuple[U8, F32]:
    """Image u8[60,60] of one random pair of a class, and the centres f32[2,2] of square and triangle, px."""
    while True:
        radii = random.uniform(*RADIUS_PX, 2)
        centres = np.stack([random.uniform(r - 0.5, SIDE - 0.5 - r, 2) for r in radii])
        apart = float(np.hypot(*(centres[0] - centres[1])))
        near = np.hypot(*(centres + 0.5).T)  # from the corner of the picture
        tied = abs(near[0] - near[1]) < TIE_PX
        if apart >= radii.sum() + GAP_PX and not tied and int(near[1] < near[0]) == label:
            break
    turns = random.uniform(0, 2 * np.pi, 2)
    outlines = [
        centre + radius * (_polygon(n) @ rotation(turn).T)
        for n, centre, radius, turn in zip(CORNERS, centres, radii, turns, strict=True)
    ]
    return fill(outlines), centres.astype(np.float32)


def _polygon(corners: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """A regular polygon f64[n,2] of circumradius 1 about (0, 0)."""
    around = 2 * np.pi * np.arange(corners) / corners
    return np.stack([np.cos(around), np.sin(around)], axis=1)
