"""Pixel-in-pixel coding: a coarse cell and where in it the landmark lies (PIPNet; its two steps in one head).

    encode: cell = clamp(floor(c w), 0, w - 1)        offset = c w - cell        near_j = c_j w - cell
    decode: cell = argmax(score)      own = (cell + offset) / w      its guess of neighbour j = (cell + near_j) / w
    merge:  mean of a landmark's own point and of the guesses of all landmarks that have it as a neighbour

c: landmark in crop widths. w: cells of the score map's side. The codec of the network's output is `coords`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.codec.base import peak_cell


def encode(coords: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """Cells i64[B,K,2] (x, y) and offsets f32[B,K,2] (cells) of coords f32[B,K,2] (crop widths).

    A landmark outside the crop belongs to the nearest cell, so that its offset leaves [0, 1).
    """
    placed = coords * cells
    cell = placed.floor().clamp(0, cells - 1)
    return cell.long(), placed - cell


def at(maps: Tensor, cell: Tensor) -> Tensor:
    """Values f32[B,K,...] of maps f32[B,K,...,h,w] at the cells i64[B,K,2] (x, y) of their landmarks."""
    index = cell[..., 1] * maps.shape[-1] + cell[..., 0]
    middle = maps.shape[2:-2]
    index = index.view(*index.shape, *(1 for _ in middle), 1).expand(*maps.shape[:2], *middle, 1)
    return maps.flatten(-2).gather(-1, index).squeeze(-1)


def decode(score: Tensor, offset: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
    """Own points f32[B,K,2] and guesses of the neighbours' points f32[B,K,C,2], crop widths.

    Args:
        score: f32[B,K,w,w].
        offset: f32[B,K,2,w,w], cells.
        near: f32[B,K,C,2,w,w], cells.
    """
    _, ix, iy = peak_cell(score)
    cell = torch.stack([ix, iy], dim=-1)
    own = cell + at(offset, cell)
    guesses = cell.unsqueeze(2) + at(near, cell)
    return own / score.shape[-1], guesses / score.shape[-1]


def merge(own: Tensor, guesses: Tensor, neighbours: Tensor) -> Tensor:
    """Points f32[B,K,2] of own points f32[B,K,2] and guesses f32[B,K,C,2] about the landmarks neighbours i64[K,C].

    Every point of a landmark counts once.
    """
    count = neighbours.shape[0]
    about = (neighbours.reshape(1, -1) == torch.arange(count, device=own.device).unsqueeze(1)).to(own.dtype)
    merged: Tensor = (own + about @ guesses.flatten(1, 2)) / (1 + about.sum(dim=1, keepdim=True))
    return merged


def nearest(face: Tensor, count: int) -> Tensor:
    """The `count` nearest landmarks i64[K,count] of each in a mean face f32[K,2], the nearest first.

    A landmark that is nowhere annotated (NaN) is nobody's neighbour as long as there are others.
    """
    apart = (face.unsqueeze(0) - face.unsqueeze(1)).norm(dim=-1).nan_to_num(nan=torch.finfo(face.dtype).max)
    apart.fill_diagonal_(float("inf"))
    order: Tensor = apart.argsort(dim=1, stable=True)
    return order[:, :count]
