"""Slow loops written from the equations of the method specification, section 2."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lmdeploy.types import Array


def distance(p: Array, q: Array) -> float:
    return math.sqrt((float(p[0]) - float(q[0])) ** 2 + (float(p[1]) - float(q[1])) ** 2)


def middle(points: Array, which: Sequence[int]) -> tuple[float, float]:
    return sum(float(points[i][0]) for i in which) / len(which), sum(float(points[i][1]) for i in which) / len(which)


def nme_of_image(pred: Array, truth: Array, a: Sequence[int], b: Sequence[int]) -> float:
    """NME_i = (1/N) sum_j e_ij / d_i over the annotated points j; d_i between the means of points a and b."""
    (ax, ay), (bx, by) = middle(truth, a), middle(truth, b)
    d = math.sqrt((ax - bx) ** 2 + (ay - by) ** 2)
    errors = [distance(p, g) for p, g in zip(pred, truth, strict=True) if not math.isnan(float(g[0]))]
    return sum(errors) / len(errors) / d


def landmark_mean(pred: Array, truth: Array, d: Sequence[float], j: int) -> float:
    """Mean over the images of e_ij / d_i where point j is annotated."""
    values = [
        distance(pred[i][j], truth[i][j]) / d[i] for i in range(len(truth)) if not math.isnan(float(truth[i][j][0]))
    ]
    return sum(values) / len(values)


def cumulative(errors: Sequence[float], threshold: float) -> float:
    """CED(u): the fraction of images with an error of at most u."""
    return sum(1 for error in errors if error <= threshold) / len(errors)


def area(errors: Sequence[float], threshold: float, steps: int) -> float:
    """(1/t) integral_0^t CED(u) du as a sum of `steps` midpoints."""
    return sum(cumulative(errors, threshold * (n + 0.5) / steps) for n in range(steps)) / steps


def wrist_mm(pred: Array, truth: Array, a: int, b: int) -> list[float]:
    """Radial errors of all points of all images, scaled so that each image's true wrist a-b is 50 mm."""
    return [
        distance(p, g) * 50 / distance(of[a], of[b])
        for said, of in zip(pred, truth, strict=True)
        for p, g in zip(said, of, strict=True)
        if not math.isnan(float(g[0]))
    ]
