"""`ts3`: the rule of TS3's authors, kept for its experiments (methods spec 6.2).

    encode: Gaussian at the exact centre, values below 0.01 become 0
    decode: cell = argmax; point = mean of the cells of the 9x9 window around it, weighted by max(map, 0)

The window reaches 4 cells; cells outside the map weigh nothing, and where nothing in it is positive the point is the
cell itself. TS3 states sigma = 3 without a unit: its authors measure it in crop px, so an 8 px cell takes 3 / 8.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.codec.base import gaussian, peak_cell, to_cells, to_pixels, window

FLOOR = 0.01  # smaller values of a target are 0
REACH = 4  # cells of the window on each side of the peak


def encode(points: Tensor, sigma: Tensor, cells: int, stride: int) -> Tensor:
    """Maps f32[B,K,cells,cells] of points f32[B,K,2] (crop px), sigma f32[B] (map cells)."""
    maps = gaussian(to_cells(points, stride), sigma, cells)
    return torch.where(maps < FLOOR, 0.0, maps)


def decode(maps: Tensor, stride: int) -> Tensor:
    """Points f32[B,K,2] (crop px) of maps f32[B,K,h,w]."""
    _, ix, iy = peak_cell(maps)
    near = window(F.pad(maps, (REACH,) * 4), ix + REACH, iy + REACH, 2 * REACH + 1).clamp(min=0)
    axis = torch.arange(2 * REACH + 1, device=maps.device, dtype=maps.dtype) - REACH
    mass = near.sum(dim=(-2, -1)).clamp(min=1e-6)
    shift_x = (near.sum(dim=-2) * axis).sum(dim=-1) / mass
    shift_y = (near.sum(dim=-1) * axis).sum(dim=-1) / mass
    return to_pixels(torch.stack([ix + shift_x, iy + shift_y], dim=-1), stride)


def background(maps: Tensor, visible: Tensor) -> Tensor:
    """Maps f32[B,K,h,w] of landmarks -> f32[B,1,h,w] in [0, 1]: 1 - the largest of the annotated ones, bool[B,K]."""
    seen = maps * visible[..., None, None]
    return 1 - seen.amax(dim=1, keepdim=True).clamp(0, 1)
