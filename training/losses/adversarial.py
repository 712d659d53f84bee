"""The losses of a discriminator and of who deceives it, from logits l; D = sigmoid(l).

    tell    = -mean log D(true) - mean log(1 - D(false))       the discriminator's
    deceive = -mean log D(false)                               non-saturating

-log sigmoid(l) = softplus(-l) and -log(1 - sigmoid(l)) = softplus(l), which stay finite for every logit.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def tell(true: Tensor, false: Tensor) -> Tensor:
    """Scalar; logits f32[B,1] of either kind."""
    return F.softplus(-true.float()).mean() + F.softplus(false.float()).mean()


def deceive(false: Tensor) -> Tensor:
    """Scalar; logits f32[B,1]."""
    return F.softplus(-false.float()).mean()
