"""What makes an easy view hard (Xie et al. 2021): more rotation and scale, and cut-out joints.

Random numbers come from `draw`, or from torch's own generator where it is None; they are drawn on the processor, so
that every device sees the same views.
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from training.augment import geometry

REFERENCE = 256  # side of the crop whose px the lengths below are


class Config(BaseModel):
    """Strengths; the defaults are the paper's, lengths in px of a crop of REFERENCE px."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    p_rotate: float = Field(default=0.8, ge=0, le=1)
    rotate: float = Field(default=30.0, ge=0)  # standard deviation in degrees, cut off at twice that
    scale: float = Field(default=0.25, ge=0, lt=1)  # standard deviation of the zoom about 1, cut off at that
    joints: int = Field(default=5, ge=0)  # landmarks to hide
    half_side: tuple[float, float] = (10.0, 20.0)  # of a hiding rectangle, uniform
    jitter: float = Field(default=10.0, ge=0)  # standard deviation of its centre about the landmark


def draw_matrices(count: int, size: int, cfg: Config, draw: torch.Generator | None = None) -> Tensor:
    """Rotations and zooms f32[B,2,3] about the centre of crops of `size` px, crop px -> crop px."""
    reach = 2 * cfg.rotate
    angle = (torch.randn(count, generator=draw) * cfg.rotate).clamp(-reach, reach)
    angle = torch.deg2rad(angle) * (torch.rand(count, generator=draw) < cfg.p_rotate)
    zoom = (1 + torch.randn(count, generator=draw) * cfg.scale).clamp(1 - cfg.scale, 1 + cfg.scale)
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    linear = torch.stack([cos, -sin, sin, cos], dim=-1).view(-1, 2, 2)
    return geometry.about_centre(linear, torch.zeros(count, 2), size, size)


def hide_joints(x: Tensor, points: Tensor, cfg: Config, draw: torch.Generator | None = None) -> Tensor:
    """Joint cutout: zero a rectangle near each of a few landmarks, chosen anew for every sample.

    Args:
        x: f32[B,3,S,S], normalised, so that 0 is the mean colour.
        points: f32[B,K,2], crop px, where the landmarks are thought to be.
        cfg: how many, how large.
        draw: source of the random numbers.
    """
    count, landmarks = points.shape[:2]
    unit, shortest, longest = x.shape[-1] / REFERENCE, *cfg.half_side
    chosen = torch.rand(count, landmarks, generator=draw).argsort(dim=1)[:, : cfg.joints]
    moved = torch.randn(*chosen.shape, 2, generator=draw) * cfg.jitter * unit
    half = (shortest + torch.rand(*chosen.shape, 2, generator=draw) * (longest - shortest)) * unit
    near = points.gather(1, chosen.to(x.device).unsqueeze(-1).expand(-1, -1, 2))
    gap = torch.arange(x.shape[-1], device=x.device) - (near + moved.to(x.device)).unsqueeze(-1)  # [B,J,2,S]
    inside = gap.abs() <= half.to(x.device).unsqueeze(-1)
    hidden = (inside[:, :, 1, :, None] & inside[:, :, 0, None, :]).any(dim=1, keepdim=True)
    return x.masked_fill(hidden, 0.0)
