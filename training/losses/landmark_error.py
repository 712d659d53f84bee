"""Error of each landmark against its target (STLD, III-C and methods spec 3.6), for maps and for coordinates.

maps         e_bk = mean over cells of (out - target)^2
coordinates  e_bk = mean over x, y of |out - target|^p / p        p = 1: L1; p > 1 shrinks small errors' gradients
"""

from __future__ import annotations

from torch import Tensor


def landmark_error(out: Tensor, target: Tensor, p: Tensor) -> Tensor:
    """f32[B,K], fp32 whatever the precision of `out`.

    Args:
        out: f32[B,K,h,w] maps, or f32[B,K,2] coordinates (crop widths).
        target: of the same shape.
        p: f32[B], the shrink exponent of each sample; maps are shrunk through their target's sigma instead.
    """
    gap = out.float() - target
    if out.dim() == 4:
        return gap.square().mean(dim=(-2, -1))
    return l_p(gap, p.view(-1, 1, 1)).mean(dim=-1)


def l_p(gap: Tensor, p: Tensor) -> Tensor:
    """|gap|^p / p (STLD, Eq. 10), with the gradient |gap|^(p-1), 0 at gap = 0 and finite for every p >= 1."""
    size = gap.abs()
    # the power's own derivative at 0 is infinite or undefined for some p: keep it away from 0
    safe = size.clamp(min=1e-12)
    return (safe**p / p) * (size > 0)
