"""Blocks: figures of five squares in a chain with a triangle at the head (Honari et al., Section 4.2, Fig. 4).

A figure is a path of six unit cells: the triangle at the first, a step up to the first square, then four turns
(S straight on, L left, R right). The triangle points away from the chain; a part fills 0.9 of its cell, so that parts
stay apart. Side of a cell U(5, 7.5) px, rotation U(0, 360) degrees, any place where the figure lies wholly inside.
The landmarks are the parts' centroids, the head first.

Differs from the paper: it shows the fifteen figures only as a picture, so these are fifteen that are not the same
under any rotation; sizes are not stated.
"""

from __future__ import annotations

import numpy as np

from lmdeploy.types import F32, F64, U8
from training.data.drawn import SIDE, Drawn, fill, rotation

FIGURES = (
    "SSSS", "SSSL", "SSSR", "SSLS", "SSRS", "SSLR", "SSRL", "SLRS", "SRLS", "LSSR", "RSSL", "SLSL", "SRSR", "LSSL",
    "SLRL",
)  # fmt: skip
LANDMARKS = 6
CELL_PX = (5.0, 7.5)
PART = 0.9  # of its cell's side
UP = np.array([0.0, -1.0])  # y points down


def cells(figure: str) -> F64:
    """Centres f64[6,2] of a figure's cells, in cells, the head at (0, 0)."""
    step, places = UP, [np.zeros(2), UP]
    for turn in figure:
        step = {"S": step, "L": np.array([step[1], -step[0]]), "R": np.array([-step[1], step[0]])}[turn]
        places.append(places[-1] + step)
    return np.stack(places)


def parts(figure: str) -> list[F64]:
    """Outlines of the head f64[3,2] and the squares f64[4,2], in cells."""
    half = PART / 2
    square = np.array([[-half, -half], [half, -half], [half, half], [-half, half]])
    triangle = np.array([[0.0, half], [-half, -half], [half, -half]])  # its tip looks away from the first step, up
    return [triangle, *(square + centre for centre in cells(figure)[1:])]


def draw(count: int, seed: int) -> Drawn:
    """`count` figures, classes as even as `count` allows; the same seed draws the same ones."""
    random = np.random.default_rng(seed)
    classes = random.permutation(np.arange(count) % len(FIGURES))
    images, points = np.empty((count, SIDE, SIDE), np.uint8), np.empty((count, LANDMARKS, 2), np.float32)
    for i, label in enumerate(classes):
        images[i], points[i] = one(int(label), random)
    return Drawn(images, points, classes.astype(np.int64), "figure", len(FIGURES))


def one(label: int, random: np.random.Generator) -> tuple[U8, F32]:
    """Image u8[60,60] of one random figure of a class, and its landmarks f32[6,2], px."""
    matrix = random.uniform(*CELL_PX) * rotation(random.uniform(0, 2 * np.pi))
    outlines = [part @ matrix.T for part in parts(FIGURES[label])]
    corners = np.concatenate(outlines)
    low, high = -0.5 - corners.min(axis=0), SIDE - 0.5 - corners.max(axis=0)
    shift = random.uniform(low, high)
    placed = [outline + shift for outline in outlines]
    # the centroid of a triangle and of a square is the mean of its corners
    return fill(placed), np.stack([outline.mean(axis=0) for outline in placed]).astype(np.float32)
