"""What a strategy answers, and the order of plain values: the least confident image first."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lmdeploy.types import F32


class Ranking(NamedTuple):
    """order: candidates worth annotating, best first. value: f32[N], the acquisition value of every candidate."""

    order: tuple[int, ...]
    value: F32


def largest_first(candidates: F32, centres: F32, count: int, seed: int = 0) -> Ranking:
    """All candidates by their value f32[N,1], largest first, equal ones in their order.

    centres, count and seed are not used.
    """
    value = candidates[:, 0]
    return Ranking(tuple(int(i) for i in np.argsort(-value, kind="stable")), value)
