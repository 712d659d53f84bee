"""`point`: one coordinate head in crop widths, as `coords`, but with no second head to compare it with.

score is 1 and spread and nnm are NaN: such a network says nothing of its own certainty.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.codec.base import Measures


def measure(heads: tuple[Tensor, ...], stride: int) -> Measures:
    """Measures of the main head f32[B,K,2]."""
    plain = heads[0][..., 0]
    nothing = torch.full_like(plain, float("nan"))
    return Measures(torch.ones_like(plain), nothing, nothing)
