"""Equivariant landmark transformation (Honari et al., Eq. 2).

    e_k  = |T L_k(I) - L_k(T I)|^2           crop px^2; T: a random affine map, one for each image
    L    = mean over images and landmarks of e_k

The gradient goes through both passes: the formula has no stop-gradient. A landmark that T moves out of the frame does
not count: the second pass cannot see it.
"""

from __future__ import annotations

import math

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from training.augment import geometry
from training.losses.source_mean import source_mean
from training.models.end_to_end import MEAN, STD


class Reach(BaseModel):
    """How far T goes. The paper says "small affine": the numbers are ours, each drawn uniformly."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rotate: float = Field(default=20.0, ge=0, le=180)  # degrees, +-
    translate: float = Field(default=0.1, ge=0, lt=1)  # of the crop's side, +-, on each axis
    scale: float = Field(default=0.1, ge=0, lt=1)  # 1 +-


def draw_maps(count: int, size: int, reach: Reach) -> Tensor:
    """T f32[count,2,3], crop px -> crop px, about the crop's centre; from torch's own CPU generator."""
    values = torch.rand(4, count) * 2 - 1
    angle, zoom = values[0] * math.radians(reach.rotate), 1 + values[1] * reach.scale
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    linear = torch.stack([cos, -sin, sin, cos], dim=-1).view(-1, 2, 2)
    return geometry.about_centre(linear, values[2:].T * reach.translate * size, size, size)


def warp_input(x: Tensor, maps: Tensor) -> Tensor:
    """T I: normalised images f32[B,3,S,S] under maps f32[B,2,3]; what comes from outside the image is black."""
    black = torch.tensor([-m / s for m, s in zip(MEAN, STD, strict=True)], device=x.device).view(1, 3, 1, 1)
    return geometry.warp(x.float() - black, maps, x.shape[-1]) + black


def elt_error(points: Tensor, warped: Tensor, maps: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """E f32[B,K] (crop px^2), and which landmarks stay in the frame, bool[B,K].

    Args:
        points: L(I), f32[B,K,2], crop px.
        warped: L(T I), likewise.
        maps: T, f32[B,2,3].
        size: side of the crop, px.
    """
    moved = geometry.transform(maps, points)
    inside = ((moved >= -0.5) & (moved <= size - 0.5)).all(dim=-1)
    return (moved - warped).square().sum(dim=-1), inside


def elt_loss(points: Tensor, warped: Tensor, maps: Tensor, size: int) -> Tensor:
    """L: scalar, crop px^2, 0 where no landmark stays in the frame; arguments as in `elt_error`."""
    return source_mean(*elt_error(points, warped, maps, size))
