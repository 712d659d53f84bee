"""Spatial entropy of the predicted maps, the acquisition function that SCAF compares NNM with (Section 4.6).

    p_l = max(H_l, 0) / sum of max(H_l, 0)
    H   = mean over landmarks l of - sum over cells of p_l log p_l            nats

Larger = less confident = annotated first. 0 for a single cell, log(h w) for a flat map.

Differs from the paper: it does not say what becomes of negative values (they count as 0 here), nor of a map without
any positive one (it counts as flat: nothing is known of that landmark).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

TINY = 1e-30  # keeps the logarithm of a cell without mass finite


def entropy(maps: Tensor) -> Tensor:
    """Mean entropy f32[B], nats, of maps f32[B,K,h,w]."""
    mass = maps.flatten(2).clamp(min=0)
    total = mass.sum(dim=-1).clamp(min=TINY)
    # - sum p log p = log S - (sum m log m) / S, which spares the normalised copy of the map
    found = total.log() - (mass * mass.clamp(min=TINY).log()).sum(dim=-1) / total
    flat = torch.full_like(found, math.log(mass.shape[-1]))
    return torch.where(total > TINY, found, flat).mean(dim=1)
