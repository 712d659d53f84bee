"""What TS3's teacher learns (Eq. 4): the quality q of an image's maps is minus their detection loss.

    d_b = mean over the maps that count of |H - H*|^2 / (pi sigma^2)
    l_t = mean |q + d|

pi sigma^2 is the sum of squares of a whole Gaussian of sigma cells: an empty map has d = 1, a perfect one 0.

Differs from the paper: d is a mean in units of a Gaussian's energy instead of a sum, so that Adam's step of 0.01 stays
stable whatever the number of landmarks and cells is.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training.losses.detection import squared, whole
from training.losses.weighted_mean import over_all


def gap(maps: Tensor, target: Tensor, visible: Tensor, sigma: float) -> Tensor:
    """The distance d f32[B], 0 where nothing is annotated.

    Args:
        maps: H f32[B,C,h,w]; C is K or K + 1.
        target: f32[B,K,h,w], the landmarks' Gaussians of width sigma.
        visible: bool[B,K].
        sigma: map cells.
    """
    wanted, counted = whole(target, visible, maps.shape[1])
    total = squared(maps, wanted, counted).sum(dim=1) / (math.pi * sigma**2)
    return total / counted.sum(dim=1).clamp(min=1)


def teacher_loss(quality: Tensor, of: Tensor) -> Tensor:
    """l_t, a scalar, of q f32[B] and d f32[B]."""
    apart = (quality.float() + of).abs()
    return over_all(apart, torch.full_like(apart.sum(), len(apart)))
