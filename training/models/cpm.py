"""CPM: the convolutional pose machine that TS3 trains (its Section 4.2, after SAN's detector; methods spec 6.1).

    x        f32[B,3,S,S]        normalised RGB
    F        f32[B,128,S/8,S/8]  VGG-16 up to conv4_3 (three poolings), 3x3 512 -> 256, 3x3 256 -> 128
    stage 1  f32[B,C,S/8,S/8]    four 3x3 128, 1x1 128 -> 512, 1x1 512 -> C
    stage m  f32[B,C,S/8,S/8]    of (F, stage m - 1): three 7x7 128, four 3x3 128, 1x1 128, 1x1 128 -> C
    main     the K landmark maps of the last stage     aux     those of the stage before

C = K, or K + 1 with `background` (the last map). ReLU between convolutions; linear maps, peak 1 at the landmark.

Differs from the paper: `width` (64: the paper's) scales all layers; `batch_norm` puts a batch norm before each ReLU,
without which N(0, 0.01) weights do not train unless the VGG part has ImageNet weights (`pretrained`; the authors'
release has that off for TS3's models, the same group's earlier detector on).
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lmdeploy.errors import InputError
from training.models.backbone import feature_maps
from training.models.base import Network, NetworkOptions

STRIDE = 8  # crop px per map cell


class Config(NetworkOptions):
    """Architecture of CPM; the defaults are the paper's."""

    codecs: ClassVar = ("ts3", "subpixel")

    kind: Literal["cpm"] = "cpm"
    width: int = Field(default=64, gt=0)  # channels of the first convolution
    stages: int = Field(default=3, ge=2)  # M
    batch_norm: bool = False
    background: bool = False  # a last map that is 1 where no landmark is

    @property
    def trunk(self) -> str:
        """What it may have ImageNet weights for."""
        return "vgg16"

    def unit(self, size: int) -> int:
        """Crop px per map cell."""
        return STRIDE

    def check(self, size: int) -> None:
        """InputError unless the maps cover exactly the crop, and weights are asked for only where they fit."""
        if size % STRIDE:
            raise InputError(f"crop.size is {size}; for a cpm network it must be a multiple of {STRIDE}")
        if self.pretrained and (self.width != 64 or self.batch_norm):
            raise InputError(
                "cpm has ImageNet weights only with width = 64 and batch_norm = false: change these, or set "
                "pretrained = false"
            )


class Cpm(Network):
    """VGG features and a cascade of stages, each of which sees the maps of the one before."""

    def __init__(self, cfg: Config, landmarks: int) -> None:
        """Build the network for K = `landmarks` points."""
        super().__init__(cfg, landmarks)
        self.landmarks = landmarks
        w, maps = cfg.width, landmarks + cfg.background
        self.vgg = _vgg(cfg)
        self.neck = nn.Sequential(*_conv(cfg, 8 * w, 4 * w, 3), *_conv(cfg, 4 * w, 2 * w, 3))
        later = range(cfg.stages - 1)
        self.stages = nn.ModuleList([_first(cfg, 2 * w, maps), *(_later(cfg, 2 * w, maps) for _ in later)])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        if cfg.pretrained:
            _take_weights(self.vgg, cfg.pretrained)

    def raw(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps f32[B,C,S/8,S/8] of every stage, the last one last; x f32[B,3,S,S]."""
        feature = self.neck(self.vgg(x))
        out = [self.stages[0](feature)]
        for stage in self.stages[1:]:
            out.append(stage(torch.cat([feature, out[-1]], dim=1)))
        return tuple(out)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Landmark maps f32[B,K,S/8,S/8] of the last stage and of the one before."""
        maps = self.raw(x)
        return maps[-1][:, : self.landmarks], maps[-2][:, : self.landmarks]


def _conv(cfg: Config, inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    norm = [nn.BatchNorm2d(outputs)] if cfg.batch_norm else []
    return [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), *norm, nn.ReLU(inplace=True)]


def _vgg(cfg: Config) -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = 3
    for block, count in enumerate((2, 2, 3, 3)):
        outputs = cfg.width << block
        layers += [nn.MaxPool2d(2)] if block else []
        for _ in range(count):
            layers += _conv(cfg, inputs, outputs, 3)
            inputs = outputs
    return nn.Sequential(*layers)


def _first(cfg: Config, width: int, maps: int) -> nn.Sequential:
    layers = [layer for _ in range(4) for layer in _conv(cfg, width, width, 3)]
    return nn.Sequential(*layers, *_conv(cfg, width, 4 * width, 1), nn.Conv2d(4 * width, maps, 1))


def _later(cfg: Config, width: int, maps: int) -> nn.Sequential:
    sizes = [(width + maps, 7), (width, 7), (width, 7), *[(width, 3)] * 4, (width, 1)]
    layers = [layer for inputs, kernel in sizes for layer in _conv(cfg, inputs, width, kernel)]
    return nn.Sequential(*layers, nn.Conv2d(width, maps, 1))


def _take_weights(vgg: nn.Sequential, pretrained: bool | str) -> None:
    """The ImageNet weights of VGG-16's first ten convolutions."""
    source, _, _ = feature_maps("vgg16.tv_in1k", {}, pretrained)
    theirs = [module for module in source.modules() if isinstance(module, nn.Conv2d)]
    ours = [module for module in vgg if isinstance(module, nn.Conv2d)]
    for own, given in zip(ours, theirs, strict=False):  # conv5 is not used
        own.load_state_dict(given.state_dict())
