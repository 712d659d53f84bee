"""TS3's teacher: how good landmark maps are for a face (its Eq. 3 and Fig. 3; methods spec 6.1).

    x, H   f32[B,3,S,S], f32[B,C,h,w]    normalised face and its maps, both resized bilinearly to 64 px
    a      {4x4 stride 2, 64; leaky ReLU 0.2}, {4x4 stride 2, 128; instance norm; leaky ReLU}, the same with 256,
           {4x4 stride 1, 512; instance norm; leaky ReLU}, 4x4 stride 1 -> 1
    a      f32[B,1,6,6]      64 -> 32 -> 16 -> 8 -> 7 -> 6
    q      f32[B]            mean of a; higher is better

CycleGAN's patch discriminator.

Differs from the paper: it calls the output a scalar; that is the mean over the patches here. Crops larger than 64 px
are resized: the paper says that the teacher fails at 256 px.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

SIDE = 64  # px that it sees


class PatchTeacher(nn.Module):
    """forward(x, maps) -> q."""

    def __init__(self, channels: int, width: int = 64) -> None:
        """For C = `channels` maps; width: of the first convolution."""
        super().__init__()
        sizes = [3 + channels, width, 2 * width, 4 * width, 8 * width]
        layers: list[nn.Module] = []
        for i in range(4):
            layers.append(nn.Conv2d(sizes[i], sizes[i + 1], 4, stride=2 if i < 3 else 1, padding=1))
            layers += [nn.InstanceNorm2d(sizes[i + 1])] if i else []
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        self.patches = nn.Sequential(*layers, nn.Conv2d(sizes[4], 1, 4, padding=1))

    def forward(self, x: Tensor, maps: Tensor) -> Tensor:
        """Quality q f32[B] of maps f32[B,C,h,w] for crops x f32[B,3,S,S]."""
        seen = torch.cat([_at_side(x), _at_side(maps)], dim=1)
        quality: Tensor = self.patches(seen).mean(dim=(1, 2, 3))
        return quality


def _at_side(images: Tensor) -> Tensor:
    if images.shape[-1] == SIDE:
        return images
    smaller = images.shape[-1] > SIDE
    return interpolate(images, size=(SIDE, SIDE), mode="bilinear", align_corners=False, antialias=smaller)
