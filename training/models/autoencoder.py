"""The auto-encoder of 3FabRec: encoder Q, a residual network down to z, and generator P, its mirror image up to x'.

    x       f32[B,3,S,S]    RGB in [0, 1] minus MEAN, so in about [-0.5, 0.6]
    Q       7x7 stride 2, BN, ReLU, 3x3 max pooling stride 2; n layers of basic blocks, every one but the first halving
            the map; mean over the map; linear
    z       f32[B,99]
    P       linear to the last width, 1x1; ConvTranspose to S / 2^(n+1), BN, ReLU; n layers, each one inverse residual
            block that doubles the map, in the widths of Q backwards, the first one twice; ConvTranspose 4x4 stride 2
            to 3 channels, tanh
    x'      f32[B,3,S,S]    on the scale of x

At S = 256 with widths 64, 64, 128, 256, 512 the layers of Q end at 64, 32, 16, 8, 4 cells, those of P at 8, 16, 32,
64, 128.

Differs from the paper: none at the defaults; `size` and `widths` (n of them) make smaller ones.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from lmdeploy.errors import InputError
from training.models.base import NetworkOptions
from training.models.end_to_end import MEAN as IMAGENET_MEAN
from training.models.end_to_end import STD as IMAGENET_STD

MEAN = (0.518, 0.418, 0.361)  # RGB in [0, 1], of the release


class AutoencoderOptions(NetworkOptions):
    """Size of the auto-encoder inside a network; the defaults are the published ones."""

    size: int = Field(default=256, gt=0)  # side of the crops, px; the first deconvolution fits no other
    widths: tuple[int, ...] = Field(default=(64, 64, 128, 256, 512), min_length=2)  # of the encoder's layers
    blocks: int = Field(default=2, gt=0)  # basic blocks a layer of the encoder
    latent: int = Field(default=99, gt=0)  # values of z

    @property
    def reduction(self) -> int:
        """Crop px per cell of the encoder's last map."""
        return int(2 ** (len(self.widths) + 1))

    def check(self, size: int) -> None:
        """InputError unless crops of side `size` are those that the network is built for."""
        if size != self.size:
            raise InputError(
                f"network.size is {self.size} and crop.size {size}: an auto-encoder needs them to be equal"
            )
        if size % self.reduction:
            raise InputError(
                f"network.size {size} with {len(self.widths)} widths: choose a multiple of {self.reduction}, or fewer "
                "widths"
            )


def own_scale(x: Tensor) -> Tensor:
    """ImageNet-normalised f32[B,3,S,S] -> RGB in [0, 1] minus MEAN."""
    std = torch.tensor(IMAGENET_STD, device=x.device, dtype=x.dtype).view(1, 3, 1, 1)
    shift = torch.tensor(IMAGENET_MEAN, device=x.device) - torch.tensor(MEAN, device=x.device)
    return x * std + shift.to(x.dtype).view(1, 3, 1, 1)


def to_rgb(image: Tensor) -> Tensor:
    """Images f32[B,3,S,S] on the auto-encoder's scale -> u8[B,S,S,3] RGB."""
    grey = image.float() + torch.tensor(MEAN, device=image.device).view(1, 3, 1, 1)
    return (grey.permute(0, 2, 3, 1) * 255).round().clamp(0, 255).to(torch.uint8)


class Basic(nn.Module):
    """ResNet's basic block: two 3x3 convolutions beside a shortcut, which is projected where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        """From f32[B,inputs,h,h] to f32[B,outputs,h/stride,h/stride]."""
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
        )
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """See __init__."""
        return F.relu(self.second(self.first(x)) + self.shortcut(x))


class Inverse(nn.Module):
    """The inverse residual block: a deconvolution and a 3x3 convolution beside a deconvolved shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """From f32[B,inputs,h,h] to f32[B,outputs,2h,2h]."""
        super().__init__()
        self.first = nn.Sequential(double(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut = nn.Sequential(double(inputs, outputs), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """See __init__."""
        return F.relu(self.second(self.first(x)) + self.shortcut(x))


def double(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """The deconvolution that doubles a map's sides."""
    return nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)


class Encoder(nn.Module):
    """Q."""

    def __init__(self, cfg: AutoencoderOptions) -> None:
        """Random weights."""
        super().__init__()
        first = cfg.widths[0]
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 7, 2, 3, bias=False), nn.BatchNorm2d(first), nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        )  # fmt: skip
        self.layers = nn.ModuleList()
        for i, (inputs, outputs) in enumerate(pairwise((first, *cfg.widths))):
            rest = [Basic(outputs, outputs, 1) for _ in range(cfg.blocks - 1)]
            self.layers.append(nn.Sequential(Basic(inputs, outputs, 2 if i else 1), *rest))
        self.latent = nn.Linear(cfg.widths[-1], cfg.latent)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Z f32[B,99], and the output of every layer, the finest first; x f32[B,3,S,S]."""
        feature, features = self.stem(x), []
        for layer in self.layers:
            feature = layer(feature)
            features.append(feature)
        return self.latent(feature.mean(dim=(-2, -1))), features


class Generator(nn.Module):
    """P."""

    def __init__(self, cfg: AutoencoderOptions) -> None:
        """Random weights."""
        super().__init__()
        last, side = cfg.widths[-1], cfg.size // cfg.reduction
        self.linear = nn.Linear(cfg.latent, last)
        self.start = nn.Sequential(
            nn.ConvTranspose2d(last, last, side, bias=False), nn.BatchNorm2d(last), nn.ReLU(inplace=True)
        )
        widths = (*reversed(cfg.widths), cfg.widths[0])
        self.layers = nn.ModuleList(Inverse(inputs, outputs) for inputs, outputs in pairwise(widths))
        self.image = double(cfg.widths[0], 3)

    def begin(self, z: Tensor) -> Tensor:
        """The map f32[B,512,4,4] that the layers start from; z f32[B,99]."""
        begun: Tensor = self.start(self.linear(z)[:, :, None, None])
        return begun

    def forward(self, z: Tensor) -> Tensor:
        """The image f32[B,3,S,S] of z f32[B,99]."""
        feature = self.begin(z)
        for layer in self.layers:
            feature = layer(feature)
        return torch.tanh(self.image(feature))
