"""The hybrid network of HybridMatch: a 2-D heatmap and two 1-D heatmaps for each landmark.

    x         f32[B,3,S,S]      normalised RGB
    feature   f32[B,C,h,h]      backbone and deconvolutions up to `stride`, as in HM
    maps      f32[B,K,h,h]      1x1 convolution; peak 1 at the landmark
    profiles  f32[B,K,2,S]      x: each column's mean and largest value of the feature and largest value of the maps,
                                deconvolutions along x up to one bin per crop px, 1x1 convolution; y: the same for
                                rows; peak 1 at the landmark
    main      f32[B,K,2]        share of the profiles' point, the rest of the maps' point, crop widths
    aux       f32[B,K,2]        the maps' point, crop widths: how far the profiles move it is the spread

1-D heatmaps have the crop's own resolution at little cost, so they quantise less; 2-D ones are the steadier.

Differs from the paper: only its abstract was at hand, which names the two representations; how the 1-D branch is
built, its resolution, its decoding and `share` are ours.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from lmdeploy.errors import InputError
from training.codec import coords, profile, subpixel
from training.models.backbone import feature_maps
from training.models.base import Network, OnBackbone


class Config(OnBackbone):
    """Architecture of the hybrid network; the 2-D part's defaults are those of HM-R18."""

    codecs: ClassVar = ("coords",)

    kind: Literal["hybrid"] = "hybrid"
    channels: int = Field(default=256, gt=0)  # width of the deconvolution blocks
    profile_channels: int = Field(default=128, gt=0)  # width of the 1-D blocks
    stride: int = 4  # crop px per cell of the 2-D map
    share: float = Field(default=0.5, gt=0, le=1)  # of the 1-D heatmaps in the answer
    reach: int = Field(default=4, gt=0)  # r of the 1-D decoding, crop px; near the sigma that is trained with


class Raw(NamedTuple):
    """What the heads give, fp32: maps f32[B,K,h,h], profiles f32[B,K,2,S] (x, then y)."""

    maps: Tensor
    profiles: Tensor


class Hybrid(Network):
    """Backbone, deconvolution blocks, 2-D head, and a 1-D branch for each axis."""

    def __init__(self, cfg: Config, landmarks: int) -> None:
        """Build the network for K = `landmarks` points; random weights unless cfg.pretrained."""
        super().__init__(cfg, landmarks)
        self.backbone, reductions, widths = feature_maps(cfg.backbone, cfg.backbone_options, cfg.pretrained, cfg.sepbn)
        last = reductions[-1]
        if cfg.stride & (cfg.stride - 1) or last % cfg.stride or last < cfg.stride:
            raise InputError(
                f"backbone {cfg.backbone!r} ends at stride {last}, from which no doubling gives {cfg.stride}"
            )
        sizes = [widths[-1]] + [cfg.channels] * _doublings(last // cfg.stride)
        self.blocks = nn.Sequential(*(_block_2d(a, b) for a, b in pairwise(sizes)))
        self.maps = nn.Conv2d(sizes[-1], landmarks, 1)
        nn.init.normal_(self.maps.weight, std=0.001)
        assert self.maps.bias is not None
        nn.init.zeros_(self.maps.bias)
        folded = 2 * sizes[-1] + landmarks
        self.along_x = _branch(folded, cfg, landmarks)
        self.along_y = _branch(folded, cfg, landmarks)

    def raw(self, x: Tensor) -> Raw:
        """Maps and profiles for x f32[B,3,S,S]; what the losses compare."""
        feature = self.blocks(self.backbone(x)[-1])
        maps = self.maps(feature)
        profiles = torch.stack([self.along_x(_fold(feature, maps, 2)), self.along_y(_fold(feature, maps, 3))], dim=2)
        return Raw(maps.float(), profiles.float())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Points f32[B,K,2] of both and of the maps alone, crop widths; x f32[B,3,S,S]."""
        raw = self.raw(x)
        side = raw.profiles.shape[-1]
        fine, _ = profile.decode(raw.profiles, self.cfg.reach)
        coarse = subpixel.decode(raw.maps, self.cfg.stride)
        main = self.cfg.share * fine + (1 - self.cfg.share) * coarse
        return _crop_widths(main, side), _crop_widths(coarse, side)


def _fold(feature: Tensor, maps: Tensor, over: int) -> Tensor:
    """f32[B,2C+K,h] of the feature f32[B,C,h,h] and the maps f32[B,K,h,h]: dimension `over` folded away.

    The 1-D losses do not reach the 2-D head: each representation learns from its own.
    """
    return torch.cat([feature.mean(dim=over), feature.amax(dim=over), maps.detach().amax(dim=over)], dim=1)


def _crop_widths(points: Tensor, side: int) -> Tensor:
    return coords.encode(points, torch.ones(()), 1, side)


def _doublings(ratio: int) -> int:
    return ratio.bit_length() - 1


def _block_2d(inputs: int, outputs: int) -> nn.Sequential:
    """HM's deconvolution block."""
    up = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False)
    nn.init.normal_(up.weight, std=0.001)
    return nn.Sequential(up, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _branch(inputs: int, cfg: Config, landmarks: int) -> nn.Sequential:
    """From f32[B,inputs,h] to the profiles f32[B,K,S] of one axis."""
    sizes = [inputs] + [cfg.profile_channels] * _doublings(cfg.stride)
    blocks: list[nn.Module] = []
    for a, b in pairwise(sizes):
        up = nn.ConvTranspose1d(a, b, 4, stride=2, padding=1, bias=False)
        blocks += [up, nn.BatchNorm1d(b), nn.ReLU(inplace=True)]
    head = nn.Conv1d(sizes[-1], landmarks, 1)
    nn.init.normal_(head.weight, std=0.001)
    assert head.bias is not None
    nn.init.zeros_(head.bias)
    return nn.Sequential(*blocks, head)
