"""The clustered, studentised, paired bootstrap as slow loops, written from the formulas of site/gate.py."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def clusters(difference: Sequence[float], identity: Sequence[str]) -> list[list[float]]:
    """The differences of each identity, identities in order of their names."""
    groups: dict[str, list[float]] = {}
    for value, who in zip(difference, identity, strict=True):
        groups.setdefault(who, []).append(float(value))
    return [groups[who] for who in sorted(groups)]


def mean_and_error(drawn: list[list[float]]) -> tuple[float, float]:
    """Mean over all images of the drawn clusters, and its cluster-robust standard error."""
    total = sum(len(group) for group in drawn)
    mean = sum(value for group in drawn for value in group) / total
    squares = sum(sum(value - mean for value in group) ** 2 for group in drawn)
    return mean, math.sqrt(squares * len(drawn) / (len(drawn) - 1)) / total


def studentised(difference: Sequence[float], identity: Sequence[str], draws: np.ndarray) -> list[float]:
    """t* for given draws: draws[r][c] says how often cluster c was drawn in resample r."""
    groups = clusters(difference, identity)
    mean, _ = mean_and_error(groups)
    result = []
    for row in draws:
        drawn = [group for group, times in zip(groups, row, strict=True) for _ in range(int(times))]
        again, error = mean_and_error(drawn)
        result.append((again - mean) / error)
    return result
