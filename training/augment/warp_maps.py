"""Heatmaps follow the same affine map as their image."""

from __future__ import annotations

import torch
from torch import Tensor

from training.augment import geometry


def warp_maps(maps: Tensor, matrices: Tensor, stride: int) -> Tensor:
    """Maps f32[B,K,h,h] under matrices f32[B,2,3] that move crop px; what comes from outside the map is 0.

    A cell c stands for crop px stride c + o, o = (stride - 1) / 2, so with x -> L x + t in crop px the cells move by
    c -> L c + (L o + t - o) / stride.
    """
    linear = matrices[:, :, :2]
    origin = torch.full((2, 1), (stride - 1) / 2, device=maps.device, dtype=matrices.dtype)
    shift = (linear @ origin + matrices[:, :, 2:] - origin) / stride
    return geometry.warp(maps, torch.cat([linear, shift], dim=2), maps.shape[-1])
