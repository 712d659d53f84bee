"""One batch of cached crops becomes one batch of network inputs: a single warp, then photometric changes.

Everything is drawn from one generator for the whole batch, on the device, without per-sample Python work. The image
and the map of its points come from the same matrices.

Order as in the STLD release (methods spec 3.4): translation, occlusion, flip, rotation, blur, greyscale.
Differs from the paper: the geometric steps are one bilinear warp instead of a chain of nearest-neighbour ones;
scale jitter and brightness, contrast, colour and noise are added, because a detector's box is never the labelled one
and cameras differ (all of them are options; `config.STLD` has the paper's values). Shear and box corners are those of
SepBN (V-A).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from training.augment import geometry, photometric, strong
from training.augment.config import Config


class View(NamedTuple):
    """images f32[B,3,S,S] in [0, 255]; points f32[B,K,2] crop px; matrix f32[B,2,3] cache -> crop px; flip bool[B]."""

    images: Tensor
    points: Tensor
    matrix: Tensor
    flip: Tensor


def draw_matrices(
    count: int, source_size: int, size: int, cfg: Config, draw: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Matrices f32[B,2,3] (cache px -> crop px) and which samples are mirrored, bool[B]."""

    def uniform(p: float, reach: float) -> Tensor:
        value = (torch.rand(count, generator=draw) * 2 - 1) * reach
        return value * (torch.rand(count, generator=draw) < p)

    angle = uniform(cfg.p_rotate, math.radians(cfg.rotate))
    zoom = uniform(cfg.p_scale, math.log1p(cfg.scale)).exp()
    shift = torch.stack([uniform(cfg.p_translate, cfg.translate * size) for _ in range(2)], dim=-1)
    flip = torch.rand(count, generator=draw) < cfg.p_flip
    mirror = torch.where(flip, -1.0, 1.0)
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    linear = torch.stack([cos * mirror, -sin, sin * mirror, cos], dim=-1).view(-1, 2, 2)
    if cfg.shear > 0:
        slant = torch.eye(2).repeat(count, 1, 1)
        slant[:, 0, 1] = uniform(1.0, cfg.shear)
        linear = slant @ linear
    matrices = geometry.about_centre(linear, shift, source_size, size)
    if cfg.corners > 0:
        moved = torch.stack([uniform(1.0, cfg.corners) for _ in range(4)], dim=-1).view(-1, 2, 2)
        matrices = geometry.stretch(matrices, moved * size, size)
    return matrices, flip


def augment(images: Tensor, points: Tensor, size: int, flip_index: Tensor, cfg: Config, draw: torch.Generator) -> View:
    """Random views of a batch.

    Args:
        images: u8[B,M,M,3] RGB, cached crops with a margin.
        points: f32[B,K,2], cache px; NaN = not annotated.
        size: side of the network input, px.
        flip_index: i64[K], the schema's.
        cfg: strengths.
        draw: a CPU generator; the same state gives the same batch on every device.

    Returns:
        The views, with the maps that made them; points of a mirrored sample carry their mirror twins' names.
    """
    device = images.device
    matrices, flip = draw_matrices(len(images), images.shape[1], size, cfg, draw)
    matrices, flip = matrices.to(device), flip.to(device)
    x = geometry.warp(images.permute(0, 3, 1, 2).float(), matrices, size)
    moved = geometry.transform(matrices, points)
    moved = torch.where(flip.view(-1, 1, 1), moved[:, flip_index], moved)
    return View(strong.change(photometric.change(x, cfg, draw), cfg, draw), moved, matrices, flip)


def centre_view(images: Tensor, points: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The plain crop u8[B,size,size,3] inside cached crops u8[B,M,M,3], and its points in crop px."""
    start = (images.shape[1] - size) // 2
    return images[:, start : start + size, start : start + size], points - start
