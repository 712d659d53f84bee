"""Optimal pairs: equal to trying every permutation."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lmdeploy.video.assign import assign


def least(cost: np.ndarray, limit: float) -> float:
    """By trying all: every row has a column of its own, and what costs more than the limit costs the limit."""
    if cost.shape[0] > cost.shape[1]:
        cost = cost.T
    rows, columns = cost.shape
    bounded = np.minimum(cost, limit)
    return min(sum(bounded[row, column] for row, column in enumerate(p)) for p in permutations(range(columns), rows))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 10**6), st.sampled_from([1.0, 4.0, 50.0]), st.booleans())
def test_pairs_cost_as_little_as_the_best_of_all(rows: int, columns: int, seed: int, limit: float, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    cost = rng.integers(0, 6, (rows, columns)).astype(float) if ties else rng.random((rows, columns)) * 6
    cost[rng.random((rows, columns)) < 0.2] = np.inf
    pairs = assign(cost, limit)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert pairs == sorted(pairs)
    assert all(cost[pair] < limit for pair in pairs)
    spent = sum(cost[pair] for pair in pairs) + limit * (min(rows, columns) - len(pairs))
    np.testing.assert_allclose(spent, least(cost, limit))


def test_best_pairs_are_not_the_greedy_ones() -> None:
    cost = np.array([[1.0, 2.0], [1.5, 9.0]])  # greedy takes 1.0 and then 9.0
    assert assign(cost, 100.0) == [(0, 1), (1, 0)]


def test_nobody_is_paired_with_what_cannot_be() -> None:
    assert assign(np.array([[np.inf, np.inf], [0.5, np.inf]]), 3.0) == [(1, 0)]
    assert assign(np.empty((3, 0)), 3.0) == []
