"""`softargmax`: the mean position under a map's softmax (Honari et al., Eq. 1).

    P_k     = softmax over all cells of beta M_k
    decode: L_k = sum over cells of P_k[cell] cell          cells, then crop px
    encode: the points themselves: the loss compares points, there is no map to draw

beta is 1: the last layer learns its own scale. The position is differentiable in every cell, so whatever is computed
from a landmark can train the network that found it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.codec.base import Measures, peak_cell, to_pixels, window
from training.codec.measures import SIDE


def encode(points: Tensor, sigma: Tensor, cells: int, stride: int) -> Tensor:
    """The points f32[B,K,2] themselves, crop px; nothing else is used."""
    return points


def decode(maps: Tensor, stride: int, beta: float = 1.0) -> Tensor:
    """Points f32[B,K,2] (crop px) of maps f32[B,K,h,w]."""
    return to_pixels(_moments(probability(maps, beta))[0], stride)


def probability(maps: Tensor, beta: float = 1.0) -> Tensor:
    """Softmax over all cells of beta times maps f32[B,K,h,w], fp32."""
    return torch.softmax(beta * maps.float().flatten(2), dim=-1).view(maps.shape)


def measure(heads: tuple[Tensor, ...], stride: int) -> Measures:
    """Measures of the main head's maps f32[B,K,h,w].

    score: mass of P in the 7x7 window at its peak. spread: square root of the second moment of P (mean over both
    axes), crop px. nnm: minus that mass.
    """
    mass = probability(heads[0])
    _, second = _moments(mass)
    _, ix, iy = peak_cell(mass)
    reach = SIDE // 2
    near = window(torch.nn.functional.pad(mass, (reach, reach, reach, reach)), ix + reach, iy + reach, SIDE)
    score = near.sum(dim=(-2, -1)).clamp(0, 1)
    return Measures(score, second.mean(dim=-1).clamp(min=0).sqrt() * stride, -score)


def _moments(mass: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance f32[B,K,2] (x, y; cells) of maps f32[B,K,h,w] whose cells add up to 1."""
    means, variances = [], []
    for other in (-2, -1):
        profile = mass.sum(dim=other)
        axis = torch.arange(profile.shape[-1], device=mass.device, dtype=mass.dtype)
        mean = (profile * axis).sum(dim=-1, keepdim=True)
        means.append(mean)
        variances.append((profile * (axis - mean).square()).sum(dim=-1, keepdim=True))
    return torch.cat(means, dim=-1), torch.cat(variances, dim=-1)
