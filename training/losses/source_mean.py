"""Mean of landmark errors over the samples of one source (methods spec 3.6).

per_source  L = sum(mask e) / sum(mask)     only that source's landmarks count; 0 where the batch holds none
batch       L = sum(mask e) / (B K)         all landmarks of the batch divide, so sources weigh by their number

With several processes numerators and denominators are those of the whole batch (`weighted_mean.over_all`).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from training.losses.weighted_mean import over_all, weighted_mean

SourceNorm = Literal["per_source", "batch"]


def source_mean(error: Tensor, mask: Tensor, norm: SourceNorm = "per_source") -> Tensor:
    """Scalar; error f32[B,K], mask bool[B,K]: the source's annotated landmarks."""
    weight = mask.to(error.dtype)
    if norm == "per_source":
        return weighted_mean(error, weight)
    return over_all(error * weight, torch.full_like(error.sum(), error.numel()))
