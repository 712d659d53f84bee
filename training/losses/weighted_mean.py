"""Mean of landmark errors in which every landmark has a weight of its own.

L = sum_bk(w_bk e_bk) / sum_bk(w_bk)          0 where the batch has no weight at all

Weights of 0 and 1 give source_mean's per_source.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def weighted_mean(error: Tensor, weight: Tensor) -> Tensor:
    """Scalar; error f32[B,K], weight f32[B,K] >= 0 (0 where a landmark is not annotated)."""
    return over_all(error * weight, weight.sum())


def over_all(error: Tensor, total: Tensor) -> Tensor:
    """The sum of error f32[B,K] over the scalar `total` of the whole batch, 0 where that is 0.

    With several processes each divides by the total of all and multiplies by their number, so that the average of the
    gradients is the gradient of the global mean.
    """
    processes = 1
    if dist.is_available() and dist.is_initialized():
        processes = dist.get_world_size()
        dist.all_reduce(total)
    return error.sum() * processes / torch.where(total > 0, total, torch.ones_like(total))
