"""What the networks of Honari et al. share: the grey input, made of the normalised RGB one, and its options."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from lmdeploy.errors import InputError
from training.models.base import NetworkOptions

LUMA = (0.299, 0.587, 0.114)
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
WINDOW = 9  # of the local contrast normalisation, px
FLOOR = 0.05  # least standard deviation it divides by


class OnGrey(NetworkOptions):
    """A network on a grey input."""

    side: int = Field(default=60, gt=0)  # s, of the input
    channels: int = Field(default=32, gt=0)  # of its convolutions

    def check(self, size: int) -> None:
        """InputError unless crops of side `size` shrink to `side` by whole blocks."""
        if size % self.side:
            raise InputError(f"the network takes {self.side} px, so crop.size must be a multiple of it, not {size}")


class MapsOnGrey(OnGrey):
    """One whose maps are as large as its input."""

    def unit(self, size: int) -> int:
        """Crop px per map cell."""
        return size // self.side


def grey(x: Tensor, side: int) -> Tensor:
    """f32[B,1,side,side] in [0, 1] of x f32[B,3,S,S], ImageNet-normalised RGB; S is a multiple of side.

    A fixed affine of x, then the mean over blocks of S / side px: 0 is black, as the padding of a convolution is.
    """
    weight = torch.tensor([w * s for w, s in zip(LUMA, STD, strict=True)], device=x.device, dtype=torch.float32)
    offset = sum(w * m for w, m in zip(LUMA, MEAN, strict=True))
    plain = (x.float() * weight.view(1, 3, 1, 1)).sum(dim=1, keepdim=True) + offset
    factor = x.shape[-1] // side
    return plain if factor == 1 else F.avg_pool2d(plain, factor)


def contrast(images: Tensor) -> Tensor:
    """Local contrast normalisation of f32[B,1,s,s]: minus the local mean, over the local standard deviation.

    The mean runs over a 9x9 window without what lies outside the image; RCN's release says no more than its name.
    """
    reach = WINDOW // 2

    def local(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, WINDOW, stride=1, padding=reach, count_include_pad=False)

    centred = images - local(images)
    return centred / local(centred.square()).clamp(min=FLOOR**2).sqrt()
