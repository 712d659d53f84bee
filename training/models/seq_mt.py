"""Seq-MT: landmarks by convolutions and soft-argmax, attributes from the landmarks alone (Honari et al., Fig. 2).

    x       f32[B,3,S,S]      normalised RGB, inside turned into grey f32[B,1,s,s], s = 60
    maps    f32[B,K,s,s]      six 7x7 convolutions, two 1x1 convolutions, the last one linear
    L       f32[B,K,2]        soft-argmax of the maps, beta = 1
    seen    f32[B,K,2]        L / s - 1/2: all that the attribute branches get (2K -> 40 -> classes)

Differs from the paper: widths and non-linearity are not stated: 32 channels (8 for Shapes), ReLU; coordinates are
centred before the branches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from training.codec import softargmax
from training.models import attribute_head
from training.models.attribute_head import AttributeHead
from training.models.base import Network, NetworkOptions
from training.models.grey import check_side, grey

LAYERS = 6
KERNEL = 7


class Config(NetworkOptions):
    """Architecture of Seq-MT."""

    codecs: ClassVar = ("softargmax",)

    kind: Literal["seq_mt"] = "seq_mt"
    side: int = Field(default=60, gt=0)  # s
    channels: int = Field(default=32, gt=0)

    def unit(self, size: int) -> int:
        """Crop px per map cell."""
        return size // self.side

    def check(self, size: int) -> None:
        """InputError unless size is a multiple of side."""
        check_side(size, self.side)


class SeqMT(Network):
    """The landmark network; `attribute_head` makes what comes behind it."""

    def __init__(self, cfg: Config, landmarks: int) -> None:
        """Random weights for K = `landmarks` points."""
        super().__init__(cfg, landmarks)
        self.landmarks = landmarks
        self.body = body(cfg.channels, landmarks)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps f32[B,K,s,s] and the centred landmarks f32[B,K,2] (crop widths), fp32; x f32[B,3,S,S]."""
        maps = self.body(grey(x, self.cfg.side)).float()
        return maps, centred(maps)

    def predict(self, x: Tensor) -> Tensor:
        """The maps alone."""
        maps: Tensor = self.body(grey(x, self.cfg.side))
        return maps

    def attribute_head(self, outputs: Sequence[int]) -> AttributeHead:
        """Branches on the landmarks."""
        return attribute_head.of_landmarks(self.landmarks, outputs)


def centred(maps: Tensor) -> Tensor:
    """Soft-argmax of maps f32[B,K,s,s] in crop widths, 0 at the crop's centre."""
    return (softargmax.decode(maps, 1) + 0.5) / maps.shape[-1] - 0.5


def body(channels: int, landmarks: int) -> nn.Sequential:
    """Grey f32[B,1,s,s] -> maps f32[B,K,s,s].

    Weights as He et al. (2015) draw them: the framework's own have a sixth of their variance, so that the signal fades
    over eight layers.
    """
    layers: list[nn.Module] = []
    for i in range(LAYERS):
        layers += [nn.Conv2d(channels if i else 1, channels, KERNEL, padding=KERNEL // 2), nn.ReLU(inplace=True)]
    layers += [nn.Conv2d(channels, channels, 1), nn.ReLU(inplace=True), nn.Conv2d(channels, landmarks, 1)]
    return he_initialised(nn.Sequential(*layers))


def he_initialised(layers: nn.Sequential) -> nn.Sequential:
    """The layers with weights of variance 2 / fan-in and zero biases."""
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return layers
