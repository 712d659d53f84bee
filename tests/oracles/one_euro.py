"""The One-Euro filter as slow loops, one number after the other, from Casiez et al. 2012, algorithm 1."""

from __future__ import annotations

import math


def one_euro_1d(
    values: list[float], times: list[float], min_cutoff: float, beta: float, d_cutoff: float
) -> list[float]:
    """Filtered values of one coordinate."""
    answer: list[float] = []
    x_hat = dx_hat = 0.0
    for i, (x, t) in enumerate(zip(values, times, strict=True)):
        if i == 0:
            x_hat, dx_hat = x, 0.0
        else:
            te = t - times[i - 1]
            dx = (x - x_hat) / te
            a = 1 / (1 + 1 / (2 * math.pi * d_cutoff) / te)
            dx_hat = a * dx + (1 - a) * dx_hat
            cutoff = min_cutoff + beta * abs(dx_hat)
            a = 1 / (1 + 1 / (2 * math.pi * cutoff) / te)
            x_hat = a * x + (1 - a) * x_hat
        answer.append(x_hat)
    return answer
