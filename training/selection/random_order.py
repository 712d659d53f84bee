"""Random order: the control of every strategy, and how the first labelled set is drawn (SCAF, Section 4.2)."""

from __future__ import annotations

import numpy as np

from lmdeploy.types import F32
from training.selection.ranking import Ranking


def random_order(candidates: F32, centres: F32, count: int, seed: int) -> Ranking:
    """All N candidates f32[N,...] in an order drawn from the seed; value f32[N]: N for the first, 1 for the last."""
    order = np.random.default_rng(seed).permutation(len(candidates))
    value = np.empty(len(order), np.float32)
    value[order] = np.arange(len(order), 0, -1)
    return Ranking(tuple(int(i) for i in order), value)
