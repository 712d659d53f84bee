"""Loss of attributes (Honari et al., Section 2): -log P(class) for classes, |a~ - a| for real values.

An image without a value (NaN) does not count; each attribute is a mean over those that have one, and they add up.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.losses.source_mean import source_mean


def attribute_loss(outputs: list[Tensor], wanted: Tensor) -> Tensor:
    """Scalar.

    Args:
        outputs: for each attribute f32[B,C], logits of C classes, or f32[B,1], a real value.
        wanted: f32[B,A], class index or value; NaN = unknown.
    """
    known = torch.isfinite(wanted)
    total = torch.zeros((), device=wanted.device)
    for i, out in enumerate(outputs):
        value = torch.where(known[:, i], wanted[:, i], torch.zeros_like(wanted[:, i]))
        if out.shape[1] == 1:
            error = (out[:, 0].float() - value).abs()
        else:
            error = F.cross_entropy(out.float(), value.long(), reduction="none")
        total = total + source_mean(error.unsqueeze(1), known[:, i : i + 1])
    return total
