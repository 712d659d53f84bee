"""Slow loops written from HybridMatch's box: both errors and the two losses."""

from __future__ import annotations

import math

import numpy as np

from tests.oracles.heatmaps import subpixel_map


def error_2d(maps: np.ndarray, point: np.ndarray, sigma: float, stride: int) -> float:
    """E_2 of one landmark's map [h,h]; point crop px, sigma cells."""
    wanted = subpixel_map(float(point[0]), float(point[1]), sigma, len(maps), stride)
    return sum((maps[i, j] - wanted[i, j]) ** 2 for i in range(len(maps)) for j in range(len(maps))) / maps.size


def error_1d(profiles: np.ndarray, point: np.ndarray, sigma: float) -> float:
    """E_1 of one landmark's profiles [2,S]; point and sigma crop px."""
    total = 0.0
    for axis in range(2):
        for i in range(profiles.shape[1]):
            wanted = math.exp(-((i - float(point[axis])) ** 2) / (2 * sigma**2))
            total += (profiles[axis, i] - wanted) ** 2
    return total / profiles.size


def mean_of_known(values: np.ndarray, known: np.ndarray) -> float:
    """Mean of [B,K] values over the known landmarks."""
    rows = [values[b, k] for b in range(values.shape[0]) for k in range(values.shape[1]) if known[b, k]]
    return sum(rows) / len(rows) if rows else 0.0
