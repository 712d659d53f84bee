"""The network as it is used: uint8 crops in, landmarks out, normalisation and decoding (always fp32) inside."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.codec import CODECS
from training.models.base import Network

MEAN = (0.485, 0.456, 0.406)  # ImageNet, RGB in [0, 1]
STD = (0.229, 0.224, 0.225)


def normalise(images: Tensor) -> Tensor:
    """f32[B,3,H,W] RGB in [0, 255] -> ImageNet-normalised."""
    mean, std = _scale(images.device)
    return (images - mean).div_(std)


def as_input(images: Tensor) -> Tensor:
    """u8[B,H,W,3] RGB -> what every network takes, f32[B,3,H,W] ImageNet-normalised."""
    return normalise(images.to(torch.float32).permute(0, 3, 1, 2))


def normalise_(images: Tensor) -> Tensor:
    """`normalise` in the memory of `images`."""
    mean, std = _scale(images.device)
    return images.sub_(mean).div_(std)


def _scale(device: torch.device) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) * 255 for values in (MEAN, STD))
    return mean, std


class EndToEnd(nn.Module):
    """images u8[B,S,S,3] RGB -> points f32[B,K,2] crop px, score f32[B,K], spread f32[B,K] crop px, nnm f32[B,K]."""

    def __init__(self, network: Network, codec: str) -> None:
        """Wrap a network together with the codec that it was trained with."""
        super().__init__()
        self.network = network
        self.codec = codec

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """See the class; decoding stays in fp32 whatever the network's precision is."""
        x = as_input(images)
        stride = self.network.cfg.unit(images.shape[1])
        codec = CODECS[self.codec]
        outputs = self.network(x) if codec.both_heads else (self.network.predict(x),)
        heads = tuple(out.float() for out in outputs)
        measures = codec.measure(heads, stride)
        return codec.decode(heads[0], stride), measures.score, measures.spread, measures.nnm
