"""Groups of equal size along a value."""

from __future__ import annotations

import numpy as np

from lmdeploy.types import F64, Array


def quantile_groups(values: F64, count: int) -> list[Array]:
    """At most `count` groups of indices i64[n] in ascending order of values f64[N], sizes equal but for one.

    >>> [g.tolist() for g in quantile_groups(np.array([3.0, 1.0, 2.0]), 2)]
    [[1, 2], [0]]
    """
    order = np.argsort(values, kind="stable")
    return [group for group in np.array_split(order, count) if len(group)]
