"""Who is who: the pairs of rows and columns that cost least together (Kuhn 1955, with potentials)."""

from __future__ import annotations

import numpy as np

from lmdeploy.types import F64


def assign(cost: F64, limit: float) -> list[tuple[int, int]]:
    """The best pairs, in the order of the rows.

    A row or column without a partner costs as much as a pair that costs `limit`, so that no pair costs more.

    Args:
        cost: f64[N,M], at least 0; inf where a row and a column cannot be a pair.
        limit: finite, above 0.
    Returns: (row, column); each row and each column stands in at most one pair. The sum over the pairs, plus `limit`
    for each of the min(N, M) that could be, is the least possible. O(N^2 M).
    """
    rows, columns = cost.shape
    if rows > columns:
        return sorted((row, column) for column, row in assign(cost.T, limit))
    if rows == 0:
        return []
    bounded = np.minimum(cost, limit)
    holder = np.full(columns + 1, -1)  # the row that holds each column; the last column is where a search begins
    u, v = np.zeros(rows), np.zeros(columns + 1)
    for row in range(rows):
        _insert(row, bounded, holder, (u, v))
    pairs = [(int(row), column) for column, row in enumerate(holder[:-1]) if row >= 0]
    return sorted((row, column) for row, column in pairs if cost[row, column] < limit)


def _insert(
    row: int, cost: F64, holder: np.ndarray[tuple[int], np.dtype[np.int64]], potentials: tuple[F64, F64]
) -> None:
    """Give one more row a column, along the cheapest chain of rows that change theirs."""
    u, v = potentials
    columns = cost.shape[1]
    slack, before = np.full(columns, np.inf), np.full(columns, columns)
    visited = np.zeros(columns + 1, bool)
    at = columns
    holder[at] = row
    while holder[at] >= 0:
        visited[at] = True
        free = ~visited[:-1]
        reduced = cost[holder[at]] - u[holder[at]] - v[:-1]
        closer = free & (reduced < slack)
        slack[closer], before[closer] = reduced[closer], at
        step = slack[free].min()
        u[holder[visited]] += step
        v[visited] -= step
        slack[free] -= step
        at = int(np.flatnonzero(free)[slack[free].argmin()])
    while at != columns:
        holder[at], at = holder[before[at]], int(before[at])
    holder[columns] = -1
