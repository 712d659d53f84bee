"""Which image to annotate next, by loops over single cells, images and distances (SCAF 3.2 and 4.6)."""

from __future__ import annotations

import math

import numpy as np


def nnm(maps: np.ndarray, side: int) -> list[float]:
    """Minus the sum, over the landmarks of each image [K,h,w], of the window at the highest cell."""
    found = []
    for image in maps:
        total = 0.0
        for one in image:
            top = max((float(one[y, x]), -y, -x) for y in range(one.shape[0]) for x in range(one.shape[1]))
            iy, ix = -top[1], -top[2]
            for y in range(iy - side // 2, iy + side // 2 + 1):
                for x in range(ix - side // 2, ix + side // 2 + 1):
                    if 0 <= y < one.shape[0] and 0 <= x < one.shape[1]:
                        total += float(one[y, x])
        found.append(-total)
    return found


def entropy(maps: np.ndarray) -> list[float]:
    """Mean over the landmarks of the entropy of max(map, 0) scaled to sum 1; log of the cells where that is empty."""
    found = []
    for image in maps:
        each = []
        for one in image:
            mass = [max(float(v), 0.0) for v in one.ravel()]
            total = sum(mass)
            if total == 0:
                each.append(math.log(len(mass)))
            else:
                each.append(-sum(m / total * math.log(m / total) for m in mass if m > 0))
        found.append(sum(each) / len(each))
    return found


def k_center(points: np.ndarray, centres: np.ndarray, count: int) -> list[int]:
    """Again and again the point whose nearest centre is farthest, all distances computed anew each time."""
    taken: list[int] = []
    for _ in range(count):
        now = [*centres, *(points[i] for i in taken)]
        best, best_distance = -1, -1.0
        for i, point in enumerate(points):
            if i in taken:
                continue
            distance = min(math.dist(point, centre) for centre in now)
            if distance > best_distance:
                best, best_distance = i, distance
        taken.append(best)
    return taken
