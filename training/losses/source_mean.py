"""Mean of landmark errors over the samples of one source (methods spec 3.6).

per_source  L = sum(mask e) / sum(mask)     only that source's landmarks count; 0 where the batch holds none
batch       L = sum(mask e) / (B K)         all landmarks of the batch divide, so sources weigh by their number

With several processes numerators and denominators are those of the whole batch: each process divides by the global
count and multiplies by the number of processes, so that the average of the gradients is the gradient of the global
mean.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor

SourceNorm = Literal["per_source", "batch"]


def source_mean(error: Tensor, mask: Tensor, norm: SourceNorm = "per_source") -> Tensor:
    """Scalar; error f32[B,K], mask bool[B,K]: the source's annotated landmarks."""
    weight = mask.to(error.dtype)
    count = weight.sum() if norm == "per_source" else torch.full_like(weight.sum(), weight.numel())
    processes = 1
    if dist.is_available() and dist.is_initialized():
        processes = dist.get_world_size()
        dist.all_reduce(count)
    return (error * weight).sum() * processes / count.clamp(min=1)
