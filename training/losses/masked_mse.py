"""Mean squared error over one source's elements only (STLD, methods spec 3.6).

L = sum(mask (out - target)^2) / sum(mask)        0 where the batch holds none of that source
"""

from __future__ import annotations

from torch import Tensor


def masked_mse(out: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Scalar loss.

    Args:
        out: f32[B,K,h,w], predicted maps.
        target: f32[B,K,h,w].
        mask: bool[B,K], which maps count.
    """
    weight = mask.to(out.dtype)
    per_map = (out - target).square().mean(dim=(-2, -1))
    return (per_map * weight).sum() / weight.sum().clamp(min=1)
