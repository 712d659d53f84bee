"""RCN, the recombinator network (Honari et al. 2016), and RCN+: the same with soft-argmax (Honari et al. 2018, 4.5).

    x       f32[B,3,S,S]       normalised RGB, inside turned into grey f32[B,1,s,s], s = 80, local contrast normalised
    d_i     f32[B,64,s_i,s_i]  down: 3x3 convolution, then 2x2 max pooling to the next; s_i = 80, 40, 20, 10, 5
    u_i     f32[B,64,s_i,s_i]  up: the coarsest from d_i alone, the others from [u_(i+1) at twice its size, d_i]
                               5: 5x5, 1x1   10: 5x5   20: 5x5, 1x1   40: 5x5, 1x1   80: 5x5, 1x1, 1x1
    maps    f32[B,K,s,s]       1x1 convolution of u_1, linear
    seen    f32[B,K,2]         soft-argmax of the maps, 0 at the centre: what the attribute branches get

The codec decides which of the two it is: `softargmax` makes RCN+, `pixel` (softmax over pixels and the likelihood of
the landmark's) RCN. Every convolution but the last has a ReLU.

Differs from the paper: He's initial weights; enlarging is by nearest neighbours to the finer map's own size, so that
`scales` 6 and 7 (a coarsest map of 2x2 and 1x1, variants of the release) work too.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from training.models.by_landmarks import ByLandmarks
from training.models.grey import MapsOnGrey, contrast, grey
from training.models.seq_mt import he_initialised

PLAIN = {0: 2, 1: 1, 2: 1, 3: 0}  # 1x1 convolutions of the up path behind the 5x5 one, by scale, the finest first


class Config(MapsOnGrey):
    """Architecture of RCN and RCN+."""

    codecs: ClassVar = ("softargmax", "pixel")

    kind: Literal["rcn"] = "rcn"
    side: int = Field(default=80, ge=16)  # s
    channels: int = Field(default=64, gt=0)
    scales: int = Field(default=5, ge=2, le=7)


class RCN(ByLandmarks):
    """Down path, up path and the last convolution."""

    def __init__(self, cfg: Config, landmarks: int) -> None:
        """Random weights for K = `landmarks` points."""
        super().__init__(cfg, landmarks)
        width = cfg.channels
        self.down = nn.ModuleList(_block([width if i else 1], width, 3, 0) for i in range(cfg.scales))
        last = cfg.scales - 1
        self.up = nn.ModuleList(
            _block([width] if i == last else [width, width], width, 5, PLAIN.get(i, 1)) for i in range(cfg.scales)
        )
        self.out = nn.Conv2d(width, landmarks, 1)

    def predict(self, x: Tensor) -> Tensor:
        """The maps alone, f32[B,K,s,s]; x f32[B,3,S,S]."""
        feature = contrast(grey(x, self.cfg.side))
        downs: list[Tensor] = []
        for i, block in enumerate(self.down):
            feature = block(F.max_pool2d(feature, 2) if i else feature)
            downs.append(feature)
        for i in reversed(range(self.cfg.scales)):
            if i == self.cfg.scales - 1:
                feature = self.up[i](downs[i])
            else:
                enlarged = F.interpolate(feature, size=downs[i].shape[-2:], mode="nearest")
                feature = self.up[i](torch.cat([enlarged, downs[i]], dim=1))
        maps: Tensor = self.out(feature)
        return maps


def _block(inputs: list[int], outputs: int, kernel: int, plain: int) -> nn.Sequential:
    """A k x k convolution and `plain` 1x1 ones, each with a ReLU."""
    layers: list[nn.Module] = [nn.Conv2d(sum(inputs), outputs, kernel, padding=kernel // 2), nn.ReLU(inplace=True)]
    for _ in range(plain):
        layers += [nn.Conv2d(outputs, outputs, 1), nn.ReLU(inplace=True)]
    return he_initialised(nn.Sequential(*layers))
