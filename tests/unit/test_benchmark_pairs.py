"""Interleaved blocks: who runs when, and what the figures of a benchmark are made of."""

from __future__ import annotations

import numpy as np
import pytest

from lmdeploy.benchmark import pairs
from lmdeploy.benchmark.pairs import Plan, all_calls, block_medians, interleaved, quartiles, ratio
from lmdeploy.benchmark.report import Times, batch_of, speedup_of, times_of


class Clock:
    """A clock that only the ways move: each call of way i takes what the test says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pairs, "perf_counter", clock)
    return clock


def test_ways_take_turns_and_who_begins_alternates() -> None:
    calls: list[int] = []
    interleaved([lambda: calls.append(0), lambda: calls.append(1)], Plan(pairs=4, block_s=0.0))
    assert [calls[i] for i in range(0, len(calls), 5)] == [0, 1, 0, 1, 1, 0, 0, 1, 1, 0]  # the first two warm up


def test_every_call_is_kept_and_every_block_told(clock: Clock) -> None:
    def way(ms: float) -> None:
        clock.now += ms / 1e3

    steps: list[int] = []
    found = all_calls(
        [lambda: way(10), lambda: way(40)], Plan(pairs=2, block_s=0.1, least=2), lambda: steps.append(len(steps))
    )
    assert [[len(block) for block in blocks] for blocks in found] == [[10, 10], [3, 3]]  # as many as begin in 100 ms
    np.testing.assert_allclose(found[1][0], [40, 40, 40])
    np.testing.assert_allclose(block_medians(found), [[10, 40], [10, 40]])
    assert len(steps) == 6  # two that warm up, two pairs of two


def test_figures_by_hand() -> None:
    slow, fast = np.array([10.0, 20.0, 60.0]), np.array([5.0, 5.0, 10.0])
    assert ratio(slow, fast) == 4.0  # of 2, 4 and 6
    assert quartiles(slow / fast) == (3.0, 5.0)
    times = times_of([np.array([1.0, 2.0, 3.0]), np.array([4.0, 96.0])])
    assert (times.calls, times.median_ms, times.pairs_ms) == (5, 3.0, (2.0, 50.0))
    assert times.p99_ms == pytest.approx(4 + 0.96 * 92)  # at place 3.96 of 0..4
    assert times_of([np.array([1.0])], keep=False).pairs_ms == ()
    batch = batch_of([np.array([4.0, 5.0, 6.0])], 8)
    assert (batch.faces, batch.faces_per_s, batch.median_ms) == (8, 1600.0, 5.0)
    one, other = (Times(calls=3, median_ms=1, p99_ms=1, pairs_ms=tuple(ms.tolist())) for ms in (slow, fast))
    assert speedup_of(one, other).median == 4.0
    assert speedup_of(other, one).quartiles == pytest.approx((np.mean([1 / 6, 1 / 4]), np.mean([1 / 4, 1 / 2])))
