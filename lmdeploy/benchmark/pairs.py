"""Calls that are compared run turn about in one process, in blocks; which of them begins alternates.

So what else the machine does meets all of them alike: a pair's ratio holds where single times do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from lmdeploy.types import F64

Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Plan:
    """Pairs of blocks, seconds of calls in each block, and how many calls it has at least."""

    pairs: int
    block_s: float
    least: int = 5


def _nothing() -> None:
    """Nobody watches."""


def all_calls(ways: Sequence[Call], plan: Plan, step: Call = _nothing) -> list[list[F64]]:
    """Ms of every call: for each way and each pair f64[calls].

    The ways warm up for half a block each. `step` is called after every block, the warming too.
    """
    for way in ways:
        _block(way, plan.block_s / 2, plan.least)
        step()
    found: list[list[F64]] = [[] for _ in ways]
    for pair in range(plan.pairs):
        order = range(len(ways)) if pair % 2 == 0 else reversed(range(len(ways)))
        for index in order:
            found[index].append(_block(ways[index], plan.block_s, plan.least))
            step()
    return found


def block_medians(calls: Sequence[Sequence[F64]]) -> F64:
    """Median ms of each block of `all_calls`, f64[pairs, ways]."""
    return np.array([[np.median(block) for block in blocks] for blocks in calls]).T


def interleaved(ways: Sequence[Call], plan: Plan) -> F64:
    """Median ms of each way in each pair, f64[pairs, ways]."""
    return block_medians(all_calls(ways, plan))


def ratio(over: F64, under: F64) -> float:
    """Median over the pairs of a pair's ratio, from ms f64[pairs] of two ways."""
    return float(np.median(over / under))


def quartiles(values: F64) -> tuple[float, float]:
    """First and third quartile."""
    first, third = np.quantile(values, [0.25, 0.75]).tolist()
    return first, third


def _block(way: Call, seconds: float, least: int) -> F64:
    """Ms of each call, of as many as fit into `seconds`, at least `least`."""
    times: list[float] = []
    end = perf_counter() + seconds
    while len(times) < least or perf_counter() < end:
        start = perf_counter()
        way()
        times.append(1e3 * (perf_counter() - start))
    return np.array(times)
