"""`coords`: points as fractions of the crop's side, what a coordinate model predicts.

    encode: c = (x + 0.5) / S          decode: x = c S - 0.5          S: side of the crop, px

A crop's edges are 0 and 1; labels outside the crop leave that range.
"""

from __future__ import annotations

from torch import Tensor


def encode(points: Tensor, sigma: Tensor, cells: int, stride: int) -> Tensor:
    """Coordinates f32[B,K,2] (crop widths) of points f32[B,K,2] (crop px); stride is S. sigma is not used."""
    return (points + 0.5) / stride


def decode(out: Tensor, stride: int) -> Tensor:
    """Points f32[B,K,2] (crop px) of coordinates f32[B,K,2] (crop widths); stride is S."""
    return out * stride - 0.5
