"""The torch twin of lmdeploy/geometry.py: batched affine maps under the pixel-centre convention.

Matrices are f32[B,2,3] and map source px to output px, acting on column points (x, y, 1).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def transform(matrices: Tensor, points: Tensor) -> Tensor:
    """Apply matrices [B,2,3] to points [B,K,2]."""
    return points @ matrices[:, :, :2].transpose(1, 2) + matrices[:, None, :, 2]


def invert(matrices: Tensor) -> Tensor:
    """Undo matrices [B,2,3]."""
    linear = torch.linalg.inv(matrices[:, :, :2])
    return torch.cat([linear, -linear @ matrices[:, :, 2:]], dim=2)


def warp(images: Tensor, matrices: Tensor, size: int, mode: str = "bilinear") -> Tensor:
    """Resample images f32[B,C,H,W] into f32[B,C,size,size]; outside the source is 0 (black).

    mode: "bilinear" or "bicubic".
    """
    extent = torch.tensor([images.shape[-1], images.shape[-2]], device=images.device, dtype=images.dtype)
    # from output px to grid_sample's [-1, 1] between the outer edges of the first and last pixel
    back = invert(matrices) * (2 / extent).view(1, 2, 1)
    axis = torch.arange(size, device=images.device, dtype=images.dtype)
    of_x, of_y, rest = back[:, None, None].unbind(-1)  # each [B,1,1,2]
    grid = axis.view(1, 1, -1, 1) * of_x + (axis.view(1, -1, 1, 1) * of_y + (rest + 1 / extent - 1))
    return F.grid_sample(images, grid, mode=mode, align_corners=False)


def stretch(matrices: Tensor, moved: Tensor, size: int) -> Tensor:
    """Matrices [B,2,3] into a crop of `size` px, for another box: its first and last edges moved by [B,2,2] output px.

    moved[b] = ((x0, y0), (x1, y1)): how far right and down the box's top left and bottom right corners go. Edges lie
    half a px outside the first and last pixel's centres.
    """
    first, last = moved.unbind(dim=1)
    zoom = (size / (size + last - first)).unsqueeze(-1)
    linear, shift = matrices[:, :, :2], matrices[:, :, 2:]
    return torch.cat([linear * zoom, (shift + 0.5 - first.unsqueeze(-1)) * zoom - 0.5], dim=2)


def about_centre(linear: Tensor, shift: Tensor, source_size: int, size: int) -> Tensor:
    """Matrices [B,2,3] that apply linear [B,2,2] about the centre of the source, then shift [B,2] (output px)."""
    centre = torch.full((2,), (source_size - 1) / 2, device=linear.device)
    moved = shift + (size - 1) / 2 - (linear @ centre)
    return torch.cat([linear, moved.unsqueeze(-1)], dim=2)
