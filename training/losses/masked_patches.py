"""Reconstruction error of hidden patches (MAE, Section 3, with normalised pixels).

t_n   = P P 3 values of patch n, (t_n - mean) / sqrt(var + 1e-6) over these values; var with n - 1
L     = mean over hidden patches of the mean over values of (out_n - t_n)^2
"""

from __future__ import annotations

import torch
from torch import Tensor

EPS = 1e-6


def patches(x: Tensor, side: int) -> Tensor:
    """Patches f32[B,N,P P 3] of images f32[B,3,S,S], P = `side` px: rows of patches one after another.

    Inside a patch: pixel rows, pixel columns, colours.
    """
    count = x.shape[-1] // side
    blocks = x.reshape(len(x), 3, count, side, count, side)  # [B,3,rows,P,columns,P]
    return blocks.permute(0, 2, 4, 3, 5, 1).reshape(len(x), count * count, -1)


def masked_patch_loss(out: Tensor, x: Tensor, hidden: Tensor, side: int) -> Tensor:
    """Scalar, fp32; out f32[B,N,P P 3], x f32[B,3,S,S] normalised RGB, hidden bool[B,N], P = `side` px."""
    target = patches(x.float(), side)
    mean, var = target.mean(dim=-1, keepdim=True), target.var(dim=-1, keepdim=True)
    error = (out.float() - (target - mean) / torch.sqrt(var + EPS)).square().mean(dim=-1)
    return (error * hidden).sum() / hidden.sum().clamp(min=1)
