"""Calls that are compared in time run turn about in one process: how long each block is, and who begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from lmdeploy.types import F64

Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Plan:
    """Pairs of blocks, and seconds of calls in each block."""

    pairs: int
    block_s: float


QUICK, FULL = Plan(pairs=9, block_s=0.2), Plan(pairs=15, block_s=1.0)


def interleaved(ways: list[Call], plan: Plan) -> F64:
    """Median ms of each way in each pair, f64[pairs, ways]; calls turn about inside a pair, its start alternates."""
    for way in ways:
        _block(way, plan.block_s / 2)  # warm up
    found = np.zeros((plan.pairs, len(ways)))
    for pair in range(plan.pairs):
        order = range(len(ways)) if pair % 2 == 0 else reversed(range(len(ways)))
        for index in order:
            found[pair, index] = _block(ways[index], plan.block_s)
    return found


def timed(ways: Mapping[str, Call], plan: Plan) -> dict[str, F64]:
    """`interleaved` by name: ms f64[pairs] of each way."""
    return dict(zip(ways, interleaved(list(ways.values()), plan).T, strict=True))


def ratio(over: F64, under: F64) -> float:
    """Median over the pairs of a pair's ratio, from ms f64[pairs] of two ways."""
    return float(np.median(over / under))


def quartiles(values: F64) -> list[float]:
    """First and third quartile."""
    found: list[float] = np.quantile(values, [0.25, 0.75]).tolist()
    return found


def as_details(times: Mapping[str, F64]) -> dict[str, Any]:
    """What a record keeps of `timed`: median, quartiles and every pair of each way, ms."""
    return {
        name: {"median_ms": float(np.median(ms)), "iqr_ms": quartiles(ms), "pairs_ms": ms.tolist()}
        for name, ms in times.items()
    }


def _block(way: Call, seconds: float) -> float:
    """Median ms of a call, over as many as fit into `seconds`, at least five."""
    times: list[float] = []
    end = perf_counter() + seconds
    while len(times) < 5 or perf_counter() < end:
        start = perf_counter()
        way()
        times.append(1e3 * (perf_counter() - start))
    return float(np.median(times))
