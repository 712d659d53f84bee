"""Seq-MT: landmarks by convolutions and soft-argmax, attributes from the landmarks alone (Honari et al., Fig. 2).

    x       f32[B,3,S,S]      normalised RGB, inside turned into grey f32[B,1,s,s], s = 60
    maps    f32[B,K,s,s]      six 7x7 convolutions, two 1x1 convolutions, the last one linear
    L       f32[B,K,2]        soft-argmax of the maps, beta = 1
    seen    f32[B,K,2]        L / s - 1/2: all that the attribute branches get (2K -> 40 -> classes)

Differs from the paper: widths and non-linearity are not stated: 32 channels (8 for Shapes), ReLU; coordinates are
centred before the branches.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor, nn

from training.models.by_landmarks import ByLandmarks
from training.models.grey import MapsOnGrey, grey

LAYERS = 6
KERNEL = 7


class Config(MapsOnGrey):
    """Architecture of Seq-MT."""

    codecs: ClassVar = ("softargmax",)

    kind: Literal["seq_mt"] = "seq_mt"


class SeqMT(ByLandmarks):
    """The landmark network."""

    def __init__(self, cfg: Config, landmarks: int) -> None:
        """Random weights for K = `landmarks` points."""
        super().__init__(cfg, landmarks)
        self.body = body(cfg.channels, landmarks)

    def predict(self, x: Tensor) -> Tensor:
        """The maps alone, f32[B,K,s,s]; x f32[B,3,S,S]."""
        maps: Tensor = self.body(grey(x, self.cfg.side))
        return maps


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
