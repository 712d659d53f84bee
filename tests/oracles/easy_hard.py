"""The easy-hard loss as slow loops, written from the box in training/methods/easy_hard.py."""

from __future__ import annotations

import math

import numpy as np


def warped(heatmap: np.ndarray, matrix: np.ndarray, stride: int) -> np.ndarray:
    """A map [h,h] after the 2x3 matrix (crop px -> crop px): each new cell looks up where it came from."""
    size, origin = heatmap.shape[0], (stride - 1) / 2
    out = np.zeros((size, size))
    for row in range(size):
        for column in range(size):
            there = np.array([column, row]) * stride + origin  # crop px
            x, y = (np.linalg.solve(matrix[:, :2], there - matrix[:, 2]) - origin) / stride
            out[row, column] = bilinear(heatmap, float(x), float(y))
    return out


def bilinear(heatmap: np.ndarray, x: float, y: float) -> float:
    """Value at column x, row y; cells outside are 0."""
    total, size = 0.0, heatmap.shape[0]
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < size and 0 <= column < size:
                total += heatmap[row, column] * (1 - abs(row - y)) * (1 - abs(column - x))
    return total


def consistency(hard: np.ndarray, easy: np.ndarray, matrices: np.ndarray, stride: int) -> float:
    """Mean over images, landmarks and cells of (H_hard - A(H_easy))^2."""
    terms = []
    for b in range(len(hard)):
        for k in range(hard.shape[1]):
            target = warped(easy[b, k], matrices[b], stride)
            terms += [(float(a) - float(c)) ** 2 for a, c in zip(hard[b, k].ravel(), target.ravel(), strict=True)]
    return sum(terms) / len(terms)
