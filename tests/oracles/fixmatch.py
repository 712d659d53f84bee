"""FixMatch's loss on heatmaps as slow loops, written from the box in training/methods/fixmatch.py.

Maps are drawn and read by the rule of the STLD release (tests/oracles/heatmaps.py).
"""

from __future__ import annotations

import numpy as np

from tests.oracles import heatmaps
from tests.oracles.heatmaps import masked_mse

Point = tuple[float, float]


def carry(point: Point, source: np.ndarray, target: np.ndarray) -> Point:
    """Undo the 2x3 matrix `source`, then apply `target`."""
    x, y = np.linalg.solve(source[:, :2], np.array(point) - source[:, 2])
    moved = target[:, :2] @ np.array([x, y]) + target[:, 2]
    return float(moved[0]), float(moved[1])


def pseudo_maps(
    weak: np.ndarray, matrices: tuple[np.ndarray, np.ndarray], flips: tuple[bool, bool], twin: list[int], stride: int
) -> np.ndarray:
    """Targets [K,h,w] in the strong view of one image's weak maps [K,h,w]; twin: each landmark's mirror name."""
    cells = weak.shape[-1]
    found = [heatmaps.stld_point(one, stride) for one in weak]
    if flips[0] != flips[1]:
        found = [found[twin[k]] for k in range(len(found))]
    moved = [carry(point, *matrices) for point in found]
    return np.stack([heatmaps.stld_map(x, y, 1.5, cells, stride) for x, y in moved])


def confidence(weak: np.ndarray) -> float:
    """Mean over the landmarks of the peak, each clipped to [0, 1]."""
    return sum(min(max(float(one.max()), 0.0), 1.0) for one in weak) / len(weak)


def unlabelled_loss(strong: np.ndarray, target: np.ndarray, conf: list[float], tau: float, over_all: bool) -> float:
    """Mean squared error over the kept images, or its sum over them divided by the number of all images."""
    kept = [b for b, c in enumerate(conf) if c >= tau]
    everything = np.ones(strong.shape[:2], dtype=bool)
    each = [masked_mse(strong[b : b + 1], target[b : b + 1], everything[b : b + 1]) for b in kept]
    count = len(conf) if over_all else len(kept)
    return sum(each) / count if kept else 0.0
