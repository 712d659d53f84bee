"""One batch of cached crops becomes one batch of network inputs: a single warp, then photometric changes.

Everything is drawn from one generator for the whole batch, on the device, without per-sample Python work. The image
and the map of its points come from the same matrices.

Order as in the STLD release (methods spec 3.4): translation, occlusion, flip, rotation, blur, greyscale.
Differs from the paper: the geometric steps are one bilinear warp instead of a chain of nearest-neighbour ones;
scale jitter and brightness, contrast, colour and noise are added, because a detector's box is never the labelled one
and cameras differ (all of them are options; `STLD` has the paper's values).
"""

from __future__ import annotations

import math

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from training.augment import geometry, photometric


class Config(BaseModel):
    """Strength of each change; p_* are probabilities per sample."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    p_translate: float = Field(default=1.0, ge=0, le=1)
    translate: float = 0.08  # uniform +-, of the crop's side (10 % of a box cropped at scale 1.25)
    p_scale: float = Field(default=1.0, ge=0, le=1)
    scale: float = Field(default=0.15, ge=0, lt=1)  # uniform in log scale, +-
    p_rotate: float = Field(default=0.7, ge=0, le=1)
    rotate: float = 30.0  # degrees, uniform +-
    p_flip: float = Field(default=0.5, ge=0, le=1)
    p_occlude: float = Field(default=0.5, ge=0, le=1)
    occlude: float = 0.4  # largest side of the rectangle, of the crop's side
    p_blur: float = Field(default=0.3, ge=0, le=1)
    blur: float = 2.0  # largest Gaussian radius, px
    p_grey: float = Field(default=0.2, ge=0, le=1)
    brightness: float = 0.2  # uniform +-, of 255
    contrast: float = 0.3  # uniform +-, in log
    saturation: float = 0.3  # uniform +-, in log
    noise: float = 6.0  # largest standard deviation, grey levels


STLD = Config(
    p_translate=0.5, translate=30 / 256, p_scale=0.0, scale=0.0, p_rotate=0.5, brightness=0.0, contrast=0.0,
    saturation=0.0, noise=0.0,
)  # fmt: skip


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
    return geometry.about_centre(linear, shift, source_size, size), flip


def augment(
    images: Tensor, points: Tensor, size: int, flip_index: Tensor, cfg: Config, draw: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Random views of a batch.

    Args:
        images: u8[B,M,M,3] RGB, cached crops with a margin.
        points: f32[B,K,2], cache px; NaN = not annotated.
        size: side of the network input, px.
        flip_index: i64[K], the schema's.
        cfg: strengths.
        draw: a CPU generator; the same state gives the same batch on every device.

    Returns:
        images f32[B,3,size,size] in [0, 255] and points f32[B,K,2] in crop px.
    """
    device = images.device
    matrices, flip = draw_matrices(len(images), images.shape[1], size, cfg, draw)
    matrices = matrices.to(device)
    x = geometry.warp(images.permute(0, 3, 1, 2).float(), matrices, size)
    moved = geometry.transform(matrices, points)
    moved = torch.where(flip.to(device).view(-1, 1, 1), moved[:, flip_index], moved)
    return photometric.change(x, cfg, draw), moved


def centre_view(images: Tensor, points: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The plain crop u8[B,size,size,3] inside cached crops u8[B,M,M,3], and its points in crop px."""
    start = (images.shape[1] - size) // 2
    return images[:, start : start + size, start : start + size], points - start
