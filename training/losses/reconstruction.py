"""How far an auto-encoder's image is from its input (3FabRec; methods spec 8.1).

    rec    = 255 mean |x - x'|                                 grey levels
    struct = 60 (1 - mean cs)                                  mean over pixels and colours
    cs     = (2 cov(x, x') + C2) / (var(x) + var(x') + C2)     SSIM's contrast-structure term

Moments are those under a Gaussian window of 31 px with sigma 1.5, normalised, the image being zero outside itself;
C2 = 0.03^2 for values that span 1. (3FabRec states window and sigma; border and C2 are ours.)
"""

from __future__ import annotations

import torch
from torch import Tensor

WINDOW, SIGMA = 31, 1.5  # px
C2 = 0.03**2
WEIGHT = 60.0


def reconstruction(image: Tensor, x: Tensor) -> Tensor:
    """rec, a scalar in grey levels; image and x f32[B,3,S,S], colours in units of 255 grey levels."""
    return 255 * (image.float() - x.float()).abs().mean()


def structure(image: Tensor, x: Tensor) -> Tensor:
    """struct, a scalar; image and x as for `reconstruction`."""
    a, b = image.float(), x.float()
    moments = _blur(torch.cat([a, b, a * a, b * b, a * b]))
    mean_a, mean_b, square_a, square_b, product = moments.chunk(5)
    cov = product - mean_a * mean_b
    var = square_a - mean_a.square() + square_b - mean_b.square()
    return WEIGHT * (1 - ((2 * cov + C2) / (var + C2)).mean())


def _blur(x: Tensor) -> Tensor:
    """f32[B,C,S,S] under the window."""
    axis = torch.arange(x.shape[-1], device=x.device, dtype=torch.float32)
    apart = axis - axis.unsqueeze(1)
    profile = torch.exp(-apart.square() / (2 * SIGMA**2)) * (apart.abs() <= WINDOW // 2)
    reach = torch.arange(-(WINDOW // 2), WINDOW // 2 + 1, device=x.device, dtype=torch.float32)
    blur = profile / torch.exp(-reach.square() / (2 * SIGMA**2)).sum()
    return blur @ x @ blur  # a banded matrix is many times faster here than a convolution of single channels
