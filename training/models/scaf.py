"""3FabRec's landmark network and SCAF's (III-A): heatmaps from the frozen generator of an auto-encoder.

    x       f32[B,3,S,S]      ImageNet-normalised; mapped to the auto-encoder's own scale inside
    z, e_i  Q(x): z f32[B,99] and the output of every layer of the encoder
    h_0     the generator's first map
    h_i     ITL_i(P_i(h_{i-1}))               3FabRec; i = 1 .. n-1
    h_i     ITL_i(P_i(h_{i-1}) + B_i(e))      SCAF; e: the encoder layer of the same map and width
    main    f32[B,K,S/2,S/2]  ConvTranspose 4x4 stride 2 of h_{n-1}: the generator's last layer and image are left out
    aux     z

ITL: 3x3 convolution as wide as its input, no bias, no BN, no activation. B: see `Multiscale`. The generator is frozen;
the BN of encoder and generator stays in evaluation mode in landmark training, also while the encoder is fine-tuned
(the release). B's BN learns.

Differs from the paper: none at the defaults; B's BN mode is not stated there.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from lmdeploy.errors import InputError
from training.models.autoencoder import AutoencoderOptions, Encoder, Generator, double, own_scale
from training.models.base import Network

STRIDE = 2  # crop px per map cell


class _Options(AutoencoderOptions):
    codecs: ClassVar = ("scaf", "subpixel")

    def unit(self, size: int) -> int:
        """Crop px per map cell."""
        return STRIDE


class FabRecConfig(_Options):
    """3FabRec: without skip connections."""

    kind: Literal["fabrec"] = "fabrec"


class ScafConfig(_Options):
    """SCAF: with them."""

    kind: Literal["scaf"] = "scaf"


class Multiscale(nn.Module):
    """The hierarchical, parallel, multi-scale block (Bulat and Tzimiropoulos 2017) at constant width C.

    a = conv(x), C -> C/2; b = conv(a), C/2 -> C/4; c = conv(b), C/4 -> C/4, each 3x3 without bias after BN and ReLU;
    out = concat(a, b, c) + x.
    """

    def __init__(self, width: int) -> None:
        """For maps f32[B,width,h,h]."""
        super().__init__()
        quarter = width // 4
        half = width - 2 * quarter
        self.a, self.b, self.c = _pre(width, half), _pre(half, quarter), _pre(quarter, quarter)

    def forward(self, x: Tensor) -> Tensor:
        """f32[B,width,h,h]."""
        a = self.a(x)
        b = self.b(a)
        return torch.cat([a, b, self.c(b)], dim=1) + x


def _pre(inputs: int, outputs: int) -> nn.Sequential:
    # not in place: the block's input is its shortcut too
    return nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False))


class Scaf(Network):
    """Auto-encoder, interleaved transfer layers, head, and with kind `scaf` the skip connections."""

    def __init__(self, cfg: FabRecConfig | ScafConfig, landmarks: int) -> None:
        """Random weights, for K = `landmarks` points."""
        super().__init__(cfg, landmarks)
        self.encoder, self.generator = Encoder(cfg), Generator(cfg)
        widths = cfg.widths[-2::-1]  # of the generator's layers, as far as they are used
        self.itls = nn.ModuleList(nn.Conv2d(w, w, 3, 1, 1, bias=False) for w in widths)
        self.skips = nn.ModuleList(Multiscale(w) for w in widths if cfg.kind == "scaf")
        self.head = double(widths[-1], landmarks)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps f32[B,K,S/2,S/2] and z f32[B,99]; x f32[B,3,S,S]."""
        z, features = self.encoder(own_scale(x))
        feature = self.generator.begin(z)
        for i, itl in enumerate(self.itls):
            feature = self.generator.layers[i](feature)
            if self.skips:
                feature = feature + self.skips[i](features[-2 - i])
            feature = itl(feature)
        return self.head(feature), z

    def train(self, mode: bool = True) -> Scaf:
        """Training mode for everything but the auto-encoder, whose BN keeps its statistics."""
        super().train(mode)
        self.encoder.eval()
        self.generator.eval()
        return self

    def reconstruct(self, x: Tensor) -> Tensor:
        """The image f32[B,3,S,S] on the auto-encoder's scale that the plain generator makes of x f32[B,3,S,S]."""
        z, _ = self.encoder(own_scale(x))
        image: Tensor = self.generator(z)
        return image


def scaf_of(network: Network, kind: str) -> Scaf:
    """The network as one of that kind.

    Raises:
        InputError: it is another.
    """
    if isinstance(network, Scaf) and network.cfg.kind == kind:
        return network
    raise InputError(
        f"this method trains a {kind} network, not a {network.cfg.kind} one: set network.kind = {kind!r}, and give no "
        "--init of another kind"
    )
