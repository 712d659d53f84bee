"""`subpixel`: the Gaussian is drawn at the exact centre; argmax plus a 3x3 log-parabola finds it again.

    l[i]  = mean over the other axis of log max(map, eps) in the 3x3 window      i in {-1, 0, 1}
    shift = (l[-1] - l[1]) / (2 (l[-1] - 2 l[0] + l[1]))                        cells, on each axis

The logarithm of a Gaussian is a parabola, so the shift is exact for a clean map; with the window moved inside at the
border it is also exact for a centre up to half a cell outside. Continuous in the map's values, so that reduced
precision moves points by little.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.codec.base import gaussian, peak_cell, to_cells, to_pixels, window

EPS = 1e-3  # floor of a map's value before the logarithm; a clean Gaussian's neighbours lie far above it
MAX_SHIFT = 1.5  # cells


def encode(points: Tensor, sigma: Tensor, cells: int, stride: int) -> Tensor:
    """Maps f32[B,K,cells,cells] of points f32[B,K,2] (crop px), sigma f32[B] (map cells)."""
    return gaussian(to_cells(points, stride), sigma, cells)


def decode(maps: Tensor, stride: int) -> Tensor:
    """Points f32[B,K,2] (crop px) of maps f32[B,K,h,w]."""
    height, width = maps.shape[-2:]
    _, ix, iy = peak_cell(maps)
    ix, iy = ix.clamp(1, width - 2), iy.clamp(1, height - 2)
    near = window(maps, ix, iy, 3).clamp(min=EPS).log()
    shift = torch.stack([_vertex(near.mean(dim=-2)), _vertex(near.mean(dim=-1))], dim=-1)
    return to_pixels(torch.stack([ix, iy], dim=-1) + shift, stride)


def _vertex(values: Tensor) -> Tensor:
    """Where the parabola through values [...,3] at -1, 0, 1 has its top; 0 where it has none."""
    low, mid, high = values.unbind(-1)
    curvature = low - 2 * mid + high
    top = (low - high) / (2 * curvature.clamp(max=-1e-6))
    return torch.where(curvature < -1e-6, top.clamp(-MAX_SHIFT, MAX_SHIFT), torch.zeros_like(top))
