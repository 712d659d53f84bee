"""Average of maps over transformed copies, cell by cell."""

from __future__ import annotations

import math

import numpy as np


def bilinear(image: np.ndarray, x: float, y: float) -> tuple[float, float]:
    """Value at (x, y) between cell centres, cells outside counting 0, and how much of the weight lies inside."""
    value, inside = 0.0, 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            weight = (1 - abs(x - column)) * (1 - abs(y - row))
            if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
                value += weight * float(image[row, column])
                inside += weight
    return value, inside


def average(maps: list[np.ndarray], copies: list[tuple[float, bool]], twin: list[int], offset: float) -> np.ndarray:
    """Maps [K,h,w] of the copies (scale, mirrored) -> their mean in the plain crop.

    A point at p cells in the plain map is at c + s (p - c) in the copy's, c the map's centre, x negated where
    mirrored; a map's peak lies `offset` cells before the point it stands for.
    """
    landmarks, cells = maps[0].shape[:2]
    centre = (cells - 1) / 2
    out = np.zeros_like(maps[0], dtype=np.float64)
    for k in range(landmarks):
        for row in range(cells):
            for column in range(cells):
                total, seen = 0.0, 0.0
                for one, (scale, mirrored) in zip(maps, copies, strict=True):
                    x = (column + offset - centre) * scale * (-1 if mirrored else 1) + centre - offset
                    y = (row + offset - centre) * scale + centre - offset
                    value, inside = bilinear(one[twin[k] if mirrored else k], x, y)
                    total += value
                    seen += inside
                out[k, row, column] = total / max(seen, 1e-6)
    return out
