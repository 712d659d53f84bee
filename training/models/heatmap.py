"""HM: the heatmap model of STLD (IV-B1, Fig. 5a), simple-baseline style, on any timm backbone.

    x       f32[B,3,S,S]   normalised RGB
    feature f32[B,C,S/32,S/32]
    main    f32[B,K,S/4,S/4]   linear output, peak 1 at the landmark
    aux     f32[B,K,S/4,S/4]   second head for pseudo-labelled samples; never used by `predict`

Deconvolution blocks {ConvTranspose 4x4 stride 2 pad 1 without bias; BN; ReLU} bring the backbone's last feature to
stride 4 (three blocks after a ResNet, two after a vision transformer of 16 px patches); two parallel 1x1 convolutions
give the maps. HRNet has stride 4 by itself: its four branches are concatenated (W18: 270 channels), and each head is
{1x1 convolution 270 -> 270; BN; ReLU; 1x1 convolution 270 -> K}.

Differs from the paper: `lateral` adds 1x1 projections of the backbone's finer features (off by default); it lets a
light backbone keep fine detail. The backbone's widths can be changed through `backbone_options`; so can the way in
which HRNet's branches exchange maps, which is timm's unless asked for (backbone.py) and the release's in its recipes.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from lmdeploy.errors import InputError
from training.models.backbone import concat, feature_maps, is_parallel
from training.models.base import Network, OnBackbone


class Config(OnBackbone):
    """Architecture of HM; the defaults are the paper's HM-R18."""

    codecs: ClassVar = ("subpixel", "stld")

    kind: Literal["heatmap"] = "heatmap"
    channels: int = Field(default=256, gt=0)  # width of the deconvolution blocks; HRNet has none
    stride: int = Field(default=4, gt=0)  # crop px per map cell
    lateral: bool = False  # add the backbone's finer features after each block

    def unit(self, size: int) -> int:
        """Crop px per map cell."""
        return self.stride


class Heatmap(Network):
    """Backbone, deconvolution blocks or concatenated branches, main and auxiliary head on `width` channels."""

    def __init__(self, cfg: Config, landmarks: int) -> None:
        """Build the network for K = `landmarks` points; random weights unless cfg.pretrained."""
        super().__init__(cfg, landmarks)
        self.backbone, reductions, widths = feature_maps(cfg.backbone, cfg.backbone_options, cfg.pretrained, cfg.sepbn)
        self.parallel = is_parallel(cfg.backbone, cfg.backbone_options)
        steps = _doublings(cfg, reductions[0] if self.parallel else reductions[-1])
        self.width = sum(widths) if self.parallel else cfg.channels if steps else widths[-1]
        self.blocks = nn.ModuleList(_block(widths[-1] if i == 0 else cfg.channels, cfg.channels) for i in range(steps))
        self.laterals = nn.ModuleList()
        self._lateral_of: list[int] = []
        if cfg.lateral:
            self._lateral_of = [reductions.index(reductions[-1] >> (i + 1)) for i in range(steps)]
            self.laterals.extend(nn.Conv2d(widths[i], cfg.channels, 1) for i in self._lateral_of)
        self.main: nn.Module = _head(self.width, landmarks, self.parallel)
        self.aux: nn.Module = _head(self.width, landmarks, self.parallel)
        _initialise(self)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of both heads, f32[B,K,h,w] each; x f32[B,3,S,S]."""
        feature = self.features(x)
        return self.main(feature), self.aux(feature)

    def predict(self, x: Tensor) -> Tensor:
        """Maps f32[B,K,h,w] of the main head alone."""
        maps: Tensor = self.main(self.features(x))
        return maps

    def features(self, x: Tensor) -> Tensor:
        """What the heads see: f32[B,width,h,w]; x f32[B,3,S,S]."""
        features = self.backbone(x)
        if self.parallel:
            return concat(features)
        out: Tensor = features[-1]
        for i, block in enumerate(self.blocks):
            out = block(out)
            if self._lateral_of:
                out = out + self.laterals[i](features[self._lateral_of[i]])
        return out


def _doublings(cfg: Config, reduction: int) -> int:
    """How many blocks bring a map of this stride to cfg.stride."""
    steps = (reduction // cfg.stride).bit_length() - 1
    if steps < 0 or cfg.stride << steps != reduction:
        raise InputError(
            f"backbone {cfg.backbone!r} ends at stride {reduction}, not a multiple of {cfg.stride} by a power of two: "
            "set network.stride, or the patch size of a vision transformer in network.backbone_options"
        )
    return steps


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _head(width: int, landmarks: int, parallel: bool) -> nn.Module:
    last = nn.Conv2d(width, landmarks, 1)
    if not parallel:
        return last
    return nn.Sequential(nn.Conv2d(width, width, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True), last)


def _initialise(net: Heatmap) -> None:
    """Deconvolutions and main head N(0, 0.001), HRNet's auxiliary head too, else at the framework's default (3.2)."""
    for module in (*net.blocks.modules(), *net.main.modules(), *(net.aux.modules() if net.parallel else ())):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=0.001)
    if isinstance(net.main, nn.Conv2d) and net.main.bias is not None:
        nn.init.zeros_(net.main.bias)
