"""Slow loops written from the definitions of STLD's analyses (methods spec, section 5)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lmdeploy.types import Array


def shares(points: Array, k: int, bins: int, side: float) -> dict[tuple[int, int], float]:
    """Share of landmark k's annotated points in each bin (row, column) that has any."""
    counts: dict[tuple[int, int], int] = {}
    for shape in points:
        x, y = float(shape[k][0]), float(shape[k][1])
        if math.isnan(x) or math.isnan(y):
            continue
        column, row = (min(max(math.floor(c / side * bins), 0), bins - 1) for c in (x, y))
        counts[row, column] = counts.get((row, column), 0) + 1
    total = sum(counts.values())
    return {at: count / total for at, count in counts.items()}


def kl(p: dict[tuple[int, int], float], q: dict[tuple[int, int], float], floor: float) -> float:
    """sum_b p_b ln(p_b / max(q_b, floor)) over the bins where p is not 0."""
    return sum(share * math.log(share / max(q.get(at, 0.0), floor)) for at, share in p.items())


def pearson(a: Sequence[float], b: Sequence[float]) -> float:
    """Covariance over the product of the standard deviations."""
    n = len(a)
    ma, mb = sum(a) / n, sum(b) / n
    cov = sum((x - ma) * (y - mb) for x, y in zip(a, b, strict=True))
    return cov / math.sqrt(sum((x - ma) ** 2 for x in a) * sum((y - mb) ** 2 for y in b))
