"""Worst-case estimation of DST (Chen et al. 2022) with a map's cells as classes.

    p       = softmax over the h w cells of worst / temperature
    right   = -log p[c] / (h w)             cross-entropy: agree with the main head on labelled images
    wrong   = -log(1 - p[c]) / (h w)        and contradict it on unlabelled ones

c: the cell of the main head's maximum. Both are means over cells, as the squared error of maps is: the first is
log(h w) / (h w) for a flat map, beside the squared error pi sigma^2 / (h w) of an empty one. As sums they would be
some thousand times larger, and the trunk would hear nothing but the worst head.
"""

from __future__ import annotations

from torch import Tensor


def cell_of(maps: Tensor) -> Tensor:
    """Flat index i64[B,K] of the maximum of maps f32[B,K,h,w]; no gradient."""
    return maps.detach().flatten(2).argmax(dim=-1)


def right(worst: Tensor, cell: Tensor, temperature: float) -> Tensor:
    """f32[B,K] of the worst head's maps f32[B,K,h,w] and cells i64[B,K]."""
    logits = worst.float().flatten(2) / temperature
    told = logits.gather(-1, cell.unsqueeze(-1)).squeeze(-1)
    return (logits.logsumexp(dim=-1) - told) / logits.shape[-1]


def wrong(worst: Tensor, cell: Tensor, temperature: float) -> Tensor:
    """As `right`; log(1 - p[c]) is taken as the weight of the other cells, which stays finite as p[c] comes near 1."""
    logits = worst.float().flatten(2) / temperature
    others = logits.scatter(-1, cell.unsqueeze(-1), float("-inf"))
    return (logits.logsumexp(dim=-1) - others.logsumexp(dim=-1)) / logits.shape[-1]


def reverse(feature: Tensor, coefficient: float) -> Tensor:
    """`feature` itself going forward; its gradient is multiplied by -coefficient (a gradient-reversal layer)."""
    still = feature.detach()
    return still - coefficient * (feature - still)
