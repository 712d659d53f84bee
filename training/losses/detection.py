"""Detection loss of a cascade of stages (TS3, Eq. 2).

    l_b = sum over stages m of |H_m - H*|^2          squared Frobenius norm: summed over maps and cells

H* holds the landmarks' Gaussians and, for a network with a background map, 1 - their maximum. A landmark that is not
annotated counts nothing. The mean is taken over the batch alone, as TS3's step sizes assume.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.codec.ts3 import background
from training.losses.weighted_mean import over_all


def detection_loss(stages: tuple[Tensor, ...], target: Tensor, visible: Tensor) -> Tensor:
    """Scalar, fp32: mean over the batch of l_b.

    Args:
        stages: f32[B,C,h,w] of each stage; C is K or K + 1.
        target: f32[B,K,h,w], the landmarks' Gaussians.
        visible: bool[B,K].
    """
    wanted, counted = whole(target, visible, stages[0].shape[1])
    per_image = torch.stack([squared(one, wanted, counted).sum(dim=1) for one in stages]).sum(dim=0)
    return over_all(per_image, torch.full_like(per_image.sum(), len(per_image)))


def whole(target: Tensor, visible: Tensor, maps: int) -> tuple[Tensor, Tensor]:
    """H* f32[B,C,h,w] for C = `maps`, and which of its maps count, bool[B,C]."""
    if maps == target.shape[1]:
        return target, visible
    back = background(target, visible)
    return torch.cat([target, back], dim=1), torch.cat([visible, torch.ones_like(visible[:, :1])], dim=1)


def squared(maps: Tensor, wanted: Tensor, counted: Tensor) -> Tensor:
    """|H - H*|^2 of each map, f32[B,C], 0 for maps that do not count; H, H* f32[B,C,h,w], counted bool[B,C]."""
    return (maps.float() - wanted).square().sum(dim=(-2, -1)) * counted
