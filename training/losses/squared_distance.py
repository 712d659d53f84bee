"""Squared distance of points, and the likelihood of a landmark's cell (Honari et al., Eq. 2 and Section 4.2).

squared_distance   e_k = |L~_k - L_k|^2                       crop px^2
cell_likelihood    e_k = -log softmax(M_k)[cell of L~_k]      nats
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.codec.base import to_cells


def squared_distance(found: Tensor, wanted: Tensor) -> Tensor:
    """f32[B,K] of points f32[B,K,2], crop px."""
    return (found.float() - wanted).square().sum(dim=-1)


def cell_likelihood(maps: Tensor, wanted: Tensor, stride: int) -> Tensor:
    """f32[B,K] of maps f32[B,K,h,w] and points f32[B,K,2] (crop px); outside the map the nearest cell counts."""
    height, width = maps.shape[-2:]
    cell = to_cells(wanted, stride).round().long()
    index = cell[..., 1].clamp(0, height - 1) * width + cell[..., 0].clamp(0, width - 1)
    told = torch.log_softmax(maps.float().flatten(2), dim=-1).gather(-1, index.unsqueeze(-1))
    return -told.squeeze(-1)
