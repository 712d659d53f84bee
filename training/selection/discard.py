"""The 10 % discard (SCAF, Sections 3.2 and 4.6): the very hardest images are outliers that teach nothing.

drop the floor(share N) first of the order, then go on from there
"""

from __future__ import annotations

import math


def discard(order: tuple[int, ...], share: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(dropped, rest) of an order of N images; share in [0, 1)."""
    # 0.29 x 100 is 28.999999999999996 in binary, and is meant to be 29
    count = math.floor(share * len(order) + 1e-9)
    return order[:count], order[count:]
