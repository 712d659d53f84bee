"""`scaf`: the rule of 3FabRec's release, which SCAF keeps (methods spec 8.4).

    encode: mu = round(x / stride); Gaussian of peak 1, zero beyond 2.5 sigma (35 cells wide for sigma 7)
    decode: the cell of the largest value after a 9x9 box blur, times the stride; no shift below a cell

Cell m stands for crop px m * stride on both sides, without the half pixel of `subpixel`, so that the pair has no bias.
A landmark outside the map leaves there what its window covers.

Differs from the paper: the blur repeats the map's border cells, which moves a peak within 4 cells of the border by 2
at most; mirroring or zeros move it by 4 (what the release does is not known).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.codec.base import gaussian, peak_cell

BOX = 9  # cells
REACH = 2.5  # sigmas


def encode(points: Tensor, sigma: Tensor, cells: int, stride: int) -> Tensor:
    """Maps f32[B,K,cells,cells] of points f32[B,K,2] (crop px), sigma f32[B] (map cells)."""
    return gaussian(torch.round(points / stride), sigma, cells, radius=torch.floor(REACH * sigma))


def decode(maps: Tensor, stride: int) -> Tensor:
    """Points f32[B,K,2] (crop px) of maps f32[B,K,h,w]."""
    reach = BOX // 2
    wide = F.pad(maps, (reach, reach, reach, reach), mode="replicate")
    _, ix, iy = peak_cell(F.avg_pool2d(wide, BOX, stride=1))
    return torch.stack([ix, iy], dim=-1).to(maps.dtype) * stride
