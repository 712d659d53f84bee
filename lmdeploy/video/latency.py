"""Latency per stage in bounded memory: a histogram with bins 2 % wide, whatever the length of the stream."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np
import numpy.typing as npt

STEP = 1.02  # ratio of two bin edges: quantiles are right to 1 %
LOWEST_MS = 1e-3
BINS = 1 + int(log(1e8) / log(STEP))  # up to 100 s


@dataclass(frozen=True, slots=True)
class StageLatency:
    """Calls of one stage: their number, median and 99th percentile, ms."""

    calls: int
    median_ms: float
    p99_ms: float


class Latencies:
    """Milliseconds by stage name."""

    def __init__(self) -> None:
        """Start empty."""
        self._counts: dict[str, npt.NDArray[np.int64]] = {}

    def add(self, stage: str, ms: float) -> None:
        """Count one call that took `ms`."""
        if stage not in self._counts:
            self._counts[stage] = np.zeros(BINS, np.int64)
        index = int(log(max(ms, LOWEST_MS) / LOWEST_MS) / log(STEP))
        self._counts[stage][min(index, BINS - 1)] += 1

    def summary(self) -> dict[str, StageLatency]:
        """Median and 99th percentile of every stage, in order of first appearance."""
        return {stage: _summarised(counts) for stage, counts in self._counts.items()}


def _summarised(counts: npt.NDArray[np.int64]) -> StageLatency:
    total = np.cumsum(counts)
    median, p99 = (int(np.searchsorted(total, q * total[-1])) for q in (0.5, 0.99))
    return StageLatency(int(total[-1]), _middle(median), _middle(p99))


def _middle(index: int) -> float:
    return float(LOWEST_MS * STEP ** (index + 0.5))
