"""What a codec is, and the Gaussian that both of ours draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Encode = Callable[[Tensor, Tensor, int, int], Tensor]
Decode = Callable[[Tensor, int], Tensor]


class Measures(NamedTuple):
    """What an output says of itself: score f32[B,K] in [0,1]; spread f32[B,K] crop px; nnm f32[B,K] or NaN."""

    score: Tensor
    spread: Tensor
    nnm: Tensor


Measure = Callable[[tuple[Tensor, ...], int], Measures]
"""(outputs of the heads, the main one first, stride) -> Measures."""


class Codec(NamedTuple):
    """encode(points, sigma, cells, stride) -> maps, decode(maps, stride) -> points, measure(heads, stride).

    points: f32[B,K,2] crop px, (x, y). sigma: f32[B] map cells. maps: f32[B,K,h,w] with h = w = cells.
    Map cell m stands for crop px m * stride + (stride - 1) / 2.
    """

    encode: Encode
    decode: Decode
    measure: Measure
    maps: bool = True  # the output is one map per landmark, else coordinates
    both_heads: bool = False  # measure needs the auxiliary output too


def to_cells(points: Tensor, stride: int) -> Tensor:
    """Crop px -> map cells, both counted at centres."""
    return (points + 0.5) / stride - 0.5


def to_pixels(cells: Tensor, stride: int) -> Tensor:
    """Map cells -> crop px, both counted at centres."""
    return (cells + 0.5) * stride - 0.5


def gaussian(centres: Tensor, sigma: Tensor, cells: int, radius: Tensor | None = None) -> Tensor:
    """Un-normalised Gaussian maps f32[B,K,cells,cells] with peak 1 at centres f32[B,K,2] (map cells).

    Args:
        centres: may lie outside the map.
        sigma: f32[B], map cells.
        cells: side of the map.
        radius: f32[B]; where given, the map is zero beyond it on either axis.
    """
    axis = torch.arange(cells, device=centres.device, dtype=centres.dtype)
    offset = axis - centres.unsqueeze(-1)  # [B,K,2,cells]
    profile = torch.exp(offset.square() / (-2 * sigma.square()).view(-1, 1, 1, 1))
    if radius is not None:
        profile = profile * (offset.abs() <= radius.view(-1, 1, 1, 1))
    return profile[:, :, 1, :, None] * profile[:, :, 0, None, :]


def peak_cell(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Value and integer cell (value f32[B,K], ix i64[B,K], iy i64[B,K]) of each map's maximum."""
    width = maps.shape[-1]
    value, index = maps.flatten(2).max(dim=-1)
    iy = torch.div(index, width, rounding_mode="floor")
    return value, index - iy * width, iy


def window(maps: Tensor, ix: Tensor, iy: Tensor, side: int) -> Tensor:
    """The side x side cells [B,K,side,side] of maps [B,K,h,w] around cells (ix, iy); the window lies inside."""
    width = maps.shape[-1]
    axis = torch.arange(side, device=maps.device) - side // 2
    offsets = (axis[:, None] * width + axis).flatten()
    cells = (iy * width + ix).unsqueeze(-1) + offsets
    near = maps.flatten(2).gather(-1, cells)
    return near.reshape(*cells.shape[:2], side, side)
