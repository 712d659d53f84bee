"""PIPNet: a pixel-in-pixel head on the backbone's last feature (stride 32), without any upsampling.

    x       f32[B,3,S,S]      normalised RGB
    score   f32[B,K,w,w]      linear, 1 in the landmark's cell; w = S / 32
    coarse  score's own 1x1 convolution again on the feature after one and two 2x2 max poolings (self-training's
            easier tasks)
    offset  f32[B,K,2,w,w]    where in the cell, cells
    near    f32[B,K,C,2,w,w]  the C nearest landmarks of the mean face, counted from the same cell, cells
    main    f32[B,K,2]        mean of the landmark's own point and of its neighbours' guesses, crop widths
    aux     f32[B,K,2]        its own point alone: how far the neighbours disagree is the spread

Each output is one 1x1 convolution, N(0, 0.001) with zero bias (the authors' release).

Differs from the paper: the table of neighbours is a buffer of the network, filled from the labelled images' mean face;
a landmark's points all count once in the mean (the release repeats some of them to fill up a rectangular table); no
more than K - 1 neighbours; poolings round up, so that any crop size works.
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from training.codec import pip
from training.models.backbone import feature_maps
from training.models.base import Network, OnBackbone

LEVELS = 3  # score maps: the plain one, after one pooling, after two


class Config(OnBackbone):
    """Architecture of PIPNet; the defaults are the paper's PIPNet-18."""

    codecs: ClassVar = ("coords",)

    kind: Literal["pipnet"] = "pipnet"
    neighbours: int = Field(default=10, gt=0)  # C


class Raw(NamedTuple):
    """What the convolutions give, fp32: scores LEVELS x f32[B,K,w,w], offset f32[B,K,2,w,w], near f32[B,K,C,2,w,w]."""

    scores: tuple[Tensor, ...]
    offset: Tensor
    near: Tensor


class PipNet(Network):
    """Backbone, score, offset and neighbour convolutions, and the table of neighbours i64[K,C]."""

    neighbours: Tensor

    def __init__(self, cfg: Config, landmarks: int) -> None:
        """Build the network for K = `landmarks` points; until `place` the neighbours are the next ones in order."""
        super().__init__(cfg, landmarks)
        self.backbone, _, widths = feature_maps(cfg.backbone, cfg.backbone_options, cfg.pretrained, cfg.sepbn)
        count = min(cfg.neighbours, landmarks - 1)
        order = torch.arange(landmarks).unsqueeze(1) + torch.arange(1, count + 1)
        self.register_buffer("neighbours", order % landmarks)
        self.score = nn.Conv2d(widths[-1], landmarks, 1)
        self.offset = nn.Conv2d(widths[-1], landmarks * 2, 1)
        self.near = nn.Conv2d(widths[-1], landmarks * count * 2, 1)
        for head in (self.score, self.offset, self.near):
            nn.init.normal_(head.weight, std=0.001)
            assert head.bias is not None
            nn.init.zeros_(head.bias)

    def place(self, face: Tensor) -> None:
        """Take the neighbours from a mean face f32[K,2], any frame; NaN = never annotated."""
        self.neighbours.copy_(pip.nearest(face, self.neighbours.shape[1]))

    def raw(self, x: Tensor) -> Raw:
        """The convolutions' outputs for x f32[B,3,S,S]; what the losses compare."""
        feature: Tensor = self.backbone(x)[-1]
        # bf16 has steps of 1/256 near 1, an eighth of a pixel in a cell of 32: the heads stay in fp32
        with torch.autocast(feature.device.type, enabled=False):
            pooled = [feature.float()]
            for _ in range(LEVELS - 1):
                pooled.append(F.max_pool2d(pooled[-1], 2, ceil_mode=True))
            scores = tuple(self.score(level) for level in pooled)
            offset = self.offset(pooled[0]).unflatten(1, (-1, 2))
            near = self.near(pooled[0]).unflatten(1, (self.neighbours.shape[0], -1, 2))
        return Raw(scores, offset, near)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Merged and own points f32[B,K,2], crop widths; x f32[B,3,S,S]."""
        raw = self.raw(x)
        own, guesses = pip.decode(raw.scores[0], raw.offset, raw.near)
        return pip.merge(own, guesses, self.neighbours), own
