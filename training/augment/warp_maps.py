"""Heatmaps follow the same affine map as their image."""

from __future__ import annotations

import torch
from torch import Tensor

from training.augment import geometry
from training.augment.pipeline import View


def warp_maps(maps: Tensor, matrices: Tensor, stride: int, mode: str = "bilinear") -> Tensor:
    """Maps f32[B,K,h,h] under matrices f32[B,2,3] that move crop px; what comes from outside the map is 0.

    A cell c stands for crop px stride c + o, o = (stride - 1) / 2, so with x -> L x + t in crop px the cells move by
    c -> L c + (L o + t - o) / stride. mode: as in geometry.warp.
    """
    linear = matrices[:, :, :2]
    origin = torch.full((2, 1), (stride - 1) / 2, device=maps.device, dtype=matrices.dtype)
    shift = (linear @ origin + matrices[:, :, 2:] - origin) / stride
    return geometry.warp(maps, torch.cat([linear, shift], dim=2), maps.shape[-1], mode)


def view_maps(maps: Tensor, view: View, cached: int, flip_index: Tensor) -> Tensor:
    """Maps f32[B,C,h,h] of the plain crops as maps f32[B,C,h,h] of their views; outside the plain crop is 0.

    Bicubic: a Gaussian of 3 px on 4 px cells loses 5 % of its peak on average, 21 % between bilinear cells.

    Args:
        maps: cells of the plain crop, the middle of a cached crop of `cached` px; landmarks first.
        view: of the cached crops.
        cached: side of a cached crop, px.
        flip_index: i64[K]; the landmarks' maps of a mirrored view carry their mirror twins' names, the others stay.
    """
    size, landmarks = view.images.shape[-1], len(flip_index)
    linear = view.matrix[:, :, :2]
    start = torch.full((2, 1), float((cached - size) // 2), device=maps.device)
    plain = torch.cat([linear, linear @ start + view.matrix[:, :, 2:]], dim=2)  # plain crop px -> px of the view
    renamed = torch.cat([maps[:, flip_index], maps[:, landmarks:]], dim=1)
    named = torch.where(view.flip.view(-1, 1, 1, 1), renamed, maps)
    return warp_maps(named, plain, size // maps.shape[-1], "bicubic")
