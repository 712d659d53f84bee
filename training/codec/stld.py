"""`stld`: the rule of the STLD release, kept for its experiments (methods spec 3.5).

    encode: mu = clamp(trunc(c w - 0.5), 0, w - 1), c in crop widths; Gaussian zero beyond floor(3 sigma) cells
    decode: (argmax + 1 + 0.25 sign(right - left)) / w; no shift at a border column or row

c is measured from the crop's left edge, so c = (x + 0.5) / S in crop px x. The +1 undoes the truncation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.codec.base import gaussian, peak_cell, window


def encode(points: Tensor, sigma: Tensor, cells: int, stride: int) -> Tensor:
    """Maps f32[B,K,cells,cells] of points f32[B,K,2] (crop px), sigma f32[B] (map cells)."""
    mu = torch.trunc((points + 0.5) / stride - 0.5).clamp(0, cells - 1)
    return gaussian(mu, sigma, cells, radius=torch.floor(3 * sigma))


def decode(maps: Tensor, stride: int) -> Tensor:
    """Points f32[B,K,2] (crop px) of maps f32[B,K,h,w]."""
    height, width = maps.shape[-2:]
    _, ix, iy = peak_cell(maps)
    near = window(F.pad(maps, (1, 1, 1, 1)), ix + 1, iy + 1, 3)  # padded, so that the peak is always its centre
    qx = torch.sign(near[..., 1, 2] - near[..., 1, 0]) * ((ix > 0) & (ix < width - 1))
    qy = torch.sign(near[..., 2, 1] - near[..., 0, 1]) * ((iy > 0) & (iy < height - 1))
    cells = torch.stack([ix + 1 + 0.25 * qx, iy + 1 + 0.25 * qy], dim=-1)
    return cells * stride - 0.5
