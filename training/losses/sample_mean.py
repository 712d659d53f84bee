"""Mean of landmark errors in which every sample counts alike, however many landmarks its data set has.

L = (1/B) sum_b (1/K_b) sum_{k annotated in b} e_bk          a sample without any landmark does not count
"""

from __future__ import annotations

from torch import Tensor

from training.losses.weighted_mean import weighted_mean


def sample_mean(error: Tensor, mask: Tensor) -> Tensor:
    """Scalar; error f32[B,K], mask bool[B,K]: the annotated landmarks."""
    seen = mask.to(error.dtype)
    return weighted_mean(error, seen / seen.sum(dim=1, keepdim=True).clamp(min=1))
