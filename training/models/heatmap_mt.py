"""Heatmap-MT: Seq-MT's landmark network with a pixel softmax, attributes from the maps (Honari et al., Fig. 6).

    x       f32[B,3,S,S]      normalised RGB, inside turned into grey f32[B,1,s,s], s = 60
    maps    f32[B,K,s,s]      as Seq-MT; P_k = softmax over all cells, the landmark is its largest cell
    seen    f32[B,K,s,s]      the maps before the softmax: 3 x {2x2 max pooling, 5x5 convolution 32} -> 40 -> classes

There is no bottleneck of landmarks: the attribute branches see everything that the maps hold.

Differs from the paper: the numbers of the attribute branch, of channels and the non-linearity are not stated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from training.models.attribute_head import HIDDEN, AttributeHead
from training.models.base import Network
from training.models.grey import MapsOnGrey, grey
from training.models.seq_mt import body

BLOCKS = 3
WIDTH = 32


class Config(MapsOnGrey):
    """Architecture of Heatmap-MT."""

    codecs: ClassVar = ("pixel",)

    kind: Literal["heatmap_mt"] = "heatmap_mt"
    side: int = Field(default=60, ge=8)  # s


class HeatmapMT(Network):
    """The landmark network; `attribute_head` makes the branches on its maps."""

    def __init__(self, cfg: Config, landmarks: int) -> None:
        """Random weights for K = `landmarks` points."""
        super().__init__(cfg, landmarks)
        self.landmarks = landmarks
        self.body = body(cfg.channels, landmarks)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps f32[B,K,s,s] before the softmax, twice, fp32: the landmarks' and what the branches see."""
        maps = self.body(grey(x, self.cfg.side)).float()
        return maps, maps

    def attribute_head(self, outputs: Sequence[int]) -> AttributeHead:
        """Branches on the maps."""
        side = self.cfg.side >> BLOCKS
        return AttributeHead([_branch(self.landmarks, side) for _ in outputs], HIDDEN, outputs)


def _branch(landmarks: int, side: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i in range(BLOCKS):
        conv = nn.Conv2d(WIDTH if i else landmarks, WIDTH, 5, padding=2)
        layers += [nn.MaxPool2d(2), conv, nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(WIDTH * side * side, HIDDEN), nn.ReLU())
