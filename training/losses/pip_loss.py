"""PIPNet's three losses (score, offset, neighbour), each sample being held to its own task.

    L_S = mean over the counted cells of (score - [the landmark lies in the cell])^2
    L_O = mean |offset_x - x| + mean |offset_y - y|            in the landmark's true cell, cells
    L_N = mean |near_x - x_j| + mean |near_y - y_j|            in the landmark's true cell, over its neighbours j

A sample counts in one of the score maps only. A landmark's cell in the map after n poolings is its plain cell halved n
times. Means run over everything that counts in the batch, so a coarse map's few cells weigh little beside a fine one's
(the authors' release).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from training.codec import pip
from training.losses.source_mean import source_mean


class Label(NamedTuple):
    """coords: f32[B,K,2], crop widths. visible: bool[B,K]. neighbours: i64[K,C].

    level: i64[B], poolings before the score map that counts. whole: bool[B], L_O and L_N count too.
    """

    coords: Tensor
    visible: Tensor
    neighbours: Tensor
    level: Tensor
    whole: Tensor


def score_loss(scores: tuple[Tensor, ...], label: Label) -> Tensor:
    """L_S of the maps f32[B,K,w,w] after 0, 1, .. poolings."""
    plain, _ = pip.encode(label.coords, scores[0].shape[-1])
    errors, counted = [], []
    for n, score in enumerate(scores):
        cell = plain >> n
        index = cell[..., 1] * score.shape[-1] + cell[..., 0]
        wanted = torch.zeros_like(score).flatten(2).scatter_(-1, index.unsqueeze(-1), 1.0)
        errors.append((score.flatten(2) - wanted).square())
        mine = label.visible & (label.level == n).unsqueeze(1)
        counted.append(mine.unsqueeze(-1).expand_as(wanted))
    return source_mean(torch.cat(errors, dim=-1), torch.cat(counted, dim=-1))


def offset_loss(offset: Tensor, label: Label) -> Tensor:
    """L_O of the maps f32[B,K,2,w,w]."""
    cell, wanted = pip.encode(label.coords, offset.shape[-1])
    apart = (pip.at(offset, cell) - wanted).abs().sum(dim=-1)
    return source_mean(apart, label.visible & label.whole.unsqueeze(1))


def near_loss(near: Tensor, label: Label) -> Tensor:
    """L_N of the maps f32[B,K,C,2,w,w]; a neighbour that is not annotated does not count."""
    cells = near.shape[-1]
    cell, _ = pip.encode(label.coords, cells)
    wanted = label.coords[:, label.neighbours] * cells - cell.unsqueeze(2)
    apart = (pip.at(near, cell) - wanted).abs().sum(dim=-1)
    both = label.visible.unsqueeze(2) & label.visible[:, label.neighbours]
    return source_mean(apart, both & label.whole.view(-1, 1, 1))
