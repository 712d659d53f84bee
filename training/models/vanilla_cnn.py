"""The Vanilla CNN of SepBN (Table I): six {3x3 convolution, BN, leaky ReLU 0.01, max pooling 2} and a linear layer.

    x       f32[B,3,128,128]
    maps    64, 128, 256, 512, 1024, 2048 channels -> f32[B,2048,2,2]
    hidden  f32[B,1024]     linear 8192 -> 1024, leaky ReLU; the last linear layer is the network's head

Differs from the paper: none; convolutions have biases, which gives the published 33.6 M weights. channels, hidden and
size are options.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

VANILLA = "vanilla_cnn"  # its name as a backbone
SLOPE = 0.01  # of the leaky ReLU
CHANNELS = (64, 128, 256, 512, 1024, 2048)


class VanillaMaps(nn.Module):
    """The convolutions: from f32[B,3,S,S] to one map f32[B,channels[-1],S/r,S/r], r = reduction."""

    def __init__(self, channels: Sequence[int] = CHANNELS) -> None:
        """Every block halves the side."""
        super().__init__()
        self.channels, self.reduction = tuple(channels), 1 << len(channels)
        self.blocks = nn.Sequential(*(_block(a, b) for a, b in zip((3, *channels), channels, strict=False)))

    def forward(self, x: Tensor) -> list[Tensor]:
        """The last block's map, in a list as timm's extractors give theirs."""
        return [self.blocks(x)]


class VanillaCnn(nn.Module):
    """From f32[B,3,S,S] to the hidden vector f32[B,hidden], S = size."""

    def __init__(self, channels: Sequence[int] = CHANNELS, hidden: int = 1024, size: int = 128) -> None:
        """`size` is a multiple of the maps' reduction."""
        super().__init__()
        self.size, self.num_features = size, hidden
        self.maps = VanillaMaps(channels)
        cells = size // self.maps.reduction
        self.hidden = nn.Sequential(nn.Linear(channels[-1] * cells * cells, hidden), nn.LeakyReLU(SLOPE))

    def forward(self, x: Tensor) -> Tensor:
        """f32[B,hidden]; x f32[B,3,S,S]."""
        out: Tensor = self.hidden(self.maps(x)[-1].flatten(1))
        return out


def _block(inputs: int, outputs: int) -> nn.Sequential:
    """One row of Table I."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.LeakyReLU(SLOPE), nn.MaxPool2d(2)
    )
