"""Comm-MT: the usual multi-task network, landmarks and attributes beside each other (Honari et al., Fig. 5).

    x       f32[B,3,S,S]      normalised RGB, inside turned into grey f32[B,1,s,s], s = 60
    common  f32[B,512]        4 x {7x7 convolution 32, ReLU, 2x2 max pooling} -> fully connected 512, ReLU
    main    f32[B,K,2]        linear, crop widths
    seen    f32[B,512]        the common layer: what the attribute branches get

Differs from the paper: the numbers of layers, channels and features and the non-linearity are not stated; the linear
layer predicts the distance from the crop's centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from training.models import attribute_head
from training.models.attribute_head import AttributeHead
from training.models.base import Network
from training.models.grey import OnGrey, grey
from training.models.seq_mt import he_initialised

BLOCKS = 4


class Config(OnGrey):
    """Architecture of Comm-MT."""

    codecs: ClassVar = ("point",)

    kind: Literal["comm_mt"] = "comm_mt"
    side: int = Field(default=60, ge=16)  # s
    width: int = Field(default=512, gt=0)  # of the common layer


class CommMT(Network):
    """Common layers and the landmark branch; `attribute_head` makes the others."""

    def __init__(self, cfg: Config, landmarks: int) -> None:
        """Random weights for K = `landmarks` points."""
        super().__init__(cfg, landmarks)
        layers: list[nn.Module] = []
        for i in range(BLOCKS):
            conv = nn.Conv2d(cfg.channels if i else 1, cfg.channels, 7, padding=3)
            layers += [conv, nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        self.trunk = he_initialised(nn.Sequential(*layers, nn.Flatten()))
        self.common = nn.Sequential(nn.Linear(cfg.channels * (cfg.side >> BLOCKS) ** 2, cfg.width), nn.ReLU())
        self.main = nn.Linear(cfg.width, landmarks * 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Points f32[B,K,2] (crop widths) and the common layer f32[B,width], fp32; x f32[B,3,S,S]."""
        feature = self.trunk(grey(x, self.cfg.side))
        # bf16 has steps of 1/256 near 1, a quarter of a pixel of a 60-px crop: the head stays in fp32
        with torch.autocast(feature.device.type, enabled=False):
            common = self.common(feature.float())
            return self.main(common).unflatten(1, (-1, 2)) + 0.5, common

    def attribute_head(self, outputs: Sequence[int]) -> AttributeHead:
        """Branches on the common layer."""
        return attribute_head.of_features(self.cfg.width, outputs)
