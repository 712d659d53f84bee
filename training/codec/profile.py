"""1-D heatmaps: one profile along x and one along y for each landmark, a bin per crop px.

    encode: profile[i] = exp(-(i - v)^2 / 2 sigma^2)          v: the landmark's x (or y), crop px
    decode: i = argmax; l = log max(profile, eps) at i - r, i, i + r
            v = i + r (l[-r] - l[r]) / (2 (l[-r] - 2 l[0] + l[r]))

The logarithm of a Gaussian is a parabola, so decoding is exact for a clean profile; samples r bins apart, near one
sigma, make it steady for a noisy one. At the border the three samples move inside.
"""

from __future__ import annotations

import torch
from torch import Tensor

EPS = 1e-3  # floor of a profile's value before the logarithm
MAX_SHIFT = 1.5  # in steps of r


def encode(points: Tensor, sigma: float, bins: int) -> Tensor:
    """Profiles f32[B,K,2,bins] (x, then y) with peak 1 of points f32[B,K,2] and sigma, both in crop px."""
    axis = torch.arange(bins, device=points.device, dtype=points.dtype)
    return torch.exp((axis - points.unsqueeze(-1)).square() / (-2 * sigma**2))


def decode(profiles: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """Points f32[B,K,2] (crop px) and peaks f32[B,K,2] of profiles f32[B,K,2,bins]; reach is r, bins."""
    peak, index = profiles.max(dim=-1, keepdim=True)
    index = index.clamp(reach, profiles.shape[-1] - 1 - reach)
    steps = reach * torch.arange(-1, 2, device=profiles.device)
    low, mid, high = profiles.gather(-1, index + steps).clamp(min=EPS).log().unbind(-1)
    curvature = low - 2 * mid + high
    top = (low - high) / (2 * curvature.clamp(max=-1e-6))
    shift = torch.where(curvature < -1e-6, top.clamp(-MAX_SHIFT, MAX_SHIFT), torch.zeros_like(top))
    return index.squeeze(-1) + reach * shift, peak.squeeze(-1)
