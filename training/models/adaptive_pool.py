"""Adaptive max pooling in a form that every ONNX runtime has.

Window i of T over n cells is [floor(i n / T), ceil((i + 1) n / T)). With q, r = divmod(n, T) the windows are those of
one plain max pooling where r is 0 (kernel q, step q), 1 (kernel q + 1, step q) or T - 1 (kernel q + 2, step q + 1, one
cell of -inf padding); T = 3 always is one of them. Otherwise each window is a slice of its own. n is a fixed number.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Pool(NamedTuple):
    """A plain pooling along one axis, cells."""

    kernel: int
    step: int
    padding: int


def adaptive_max_pool(x: Tensor, size: int) -> Tensor:
    """f32[B,C,h,w] -> f32[B,C,T,T] with T = size; equal to the framework's own function to the last bit."""
    height, width = x.shape[-2:]
    if size == 1:
        return x.amax(dim=(-2, -1), keepdim=True)
    if height == width == 1:
        return x.expand(-1, -1, size, size)
    rows, columns = plain(height, size), plain(width, size)
    if rows and columns:
        (k_y, s_y, p_y), (k_x, s_x, p_x) = rows, columns
        return F.max_pool2d(x, (k_y, k_x), (s_y, s_x), (p_y, p_x))
    return _slices(_slices(x, size, 2), size, 3)


def plain(cells: int, size: int) -> Pool | None:
    """The plain pooling whose windows are those of the adaptive one; None where there is none."""
    q, r = divmod(cells, size)
    if r in (0, 1) and q > 0:
        return Pool(q + r, q, 0)
    return Pool(q + 2, q + 1, 1) if r == size - 1 else None


def _slices(x: Tensor, size: int, axis: int) -> Tensor:
    cells = x.shape[axis]
    edges = [(i * cells // size, -((i + 1) * cells // -size)) for i in range(size)]
    return torch.cat([x.narrow(axis, a, b - a).amax(dim=axis, keepdim=True) for a, b in edges], dim=axis)
