"""`pixel`: a map is a distribution over its cells; the landmark is the likeliest cell's centre (Honari et al., 4.2).

P_k     = softmax over all cells of M_k
decode: L_k = centre of argmax P_k                      no finer than the map's grid
encode: the points themselves: the loss is -log P_k at the landmark's cell
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.codec.base import peak_cell, to_pixels


def encode(points: Tensor, sigma: Tensor, cells: int, stride: int) -> Tensor:
    """The points f32[B,K,2] themselves, crop px; nothing else is used."""
    return points


def decode(maps: Tensor, stride: int) -> Tensor:
    """Points f32[B,K,2] (crop px) of maps f32[B,K,h,w]: centres of cells."""
    _, ix, iy = peak_cell(maps)
    return to_pixels(torch.stack([ix, iy], dim=-1).to(maps.dtype), stride)
