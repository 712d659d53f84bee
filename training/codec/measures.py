"""What an output says of itself beside the points: score, spread and NNM."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.codec.base import Measures, peak_cell, window

SIDE = 7  # cells of the window
AGREEMENT = 0.05  # crop widths between two heads at which the score falls to 1/e


def of_maps(heads: tuple[Tensor, ...], stride: int) -> Measures:
    """Measures of the main head's maps; others are not looked at."""
    return measure(heads[0], stride)


def of_heads(heads: tuple[Tensor, ...], stride: int) -> Measures:
    """Measures of two coordinate heads f32[B,K,2] (crop widths): spread is their distance, crop px.

    score = exp(-distance / 5 % of the crop's side); a coordinate model has no window mass, so nnm is NaN.
    """
    main, aux = heads
    apart = (main - aux).norm(dim=-1)
    return Measures(torch.exp(-apart / AGREEMENT), apart * stride, torch.full_like(apart, float("nan")))


def measure(maps: Tensor, stride: int) -> Measures:
    """Score, spread and NNM of maps f32[B,K,h,w].

    spread: square root of the second moment (mean over both axes) of max(map, 0) in the 7x7 window at the peak.
    nnm: minus the sum of that window, cells outside the map counting zero (SCAF, III-D; negative values kept).
    """
    value, ix, iy = peak_cell(maps)
    reach = SIDE // 2
    near = window(F.pad(maps, (reach, reach, reach, reach)), ix + reach, iy + reach, SIDE)
    axis = torch.arange(SIDE, device=maps.device, dtype=maps.dtype) - reach
    mass = near.clamp(min=0)
    total = mass.sum(dim=(-2, -1)).clamp(min=1e-6)
    second = _variance(mass.sum(dim=-2), axis, total) + _variance(mass.sum(dim=-1), axis, total)
    return Measures(value.clamp(0, 1), (second / 2).clamp(min=0).sqrt() * stride, -near.sum(dim=(-2, -1)))


def _variance(profile: Tensor, axis: Tensor, total: Tensor) -> Tensor:
    """Variance in cells^2 of a profile [B,K,SIDE] along `axis`."""
    mean = (profile * axis).sum(-1) / total
    return (profile * axis.square()).sum(-1) / total - mean.square()
