"""HM: the heatmap model of STLD (IV-B1, Fig. 5a), simple-baseline style, on any timm backbone.

    x       f32[B,3,S,S]   normalised RGB
    feature f32[B,C,S/32,S/32]
    main    f32[B,K,S/4,S/4]   linear output, peak 1 at the landmark
    aux     f32[B,K,S/4,S/4]   second head for pseudo-labelled samples; never used by `predict`

Deconvolution blocks {ConvTranspose 4x4 stride 2 pad 1 without bias; BN; ReLU} bring the backbone's last feature to
stride 4; two parallel 1x1 convolutions give the maps.

Differs from the paper: `lateral` adds 1x1 projections of the backbone's finer features (off by default); it lets a
light backbone keep fine detail. The backbone's widths can be changed through `backbone_options`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from lmdeploy.errors import InputError
from training.models.backbone import feature_maps


class Config(BaseModel):
    """Architecture of HM; the defaults are the paper's HM-R18."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["heatmap"] = "heatmap"
    backbone: str = "resnet18"  # any timm model that offers feature maps
    backbone_options: dict[str, Any] = {}  # passed to timm, e.g. channels = [48, 64, 96, 128]
    pretrained: bool = False  # ImageNet weights through timm
    channels: int = Field(default=256, gt=0)  # width of the deconvolution blocks
    stride: int = 4  # crop px per map cell
    lateral: bool = False  # add the backbone's finer features after each block


class Heatmap(nn.Module):
    """Backbone, deconvolution blocks, main and auxiliary head."""

    def __init__(self, cfg: Config, landmarks: int) -> None:
        """Build the network for K = `landmarks` points; random weights unless cfg.pretrained."""
        super().__init__()
        self.cfg = cfg
        self.backbone, reductions, widths = feature_maps(cfg.backbone, cfg.backbone_options, cfg.pretrained)
        if reductions[-1] % cfg.stride or reductions[-1] < cfg.stride:
            raise InputError(
                f"backbone {cfg.backbone!r} ends at stride {reductions[-1]}, not a multiple of {cfg.stride}"
            )
        steps = (reductions[-1] // cfg.stride).bit_length() - 1
        self.blocks = nn.ModuleList(_block(widths[-1] if i == 0 else cfg.channels, cfg.channels) for i in range(steps))
        self.laterals = nn.ModuleList()
        self._lateral_of: list[int] = []
        if cfg.lateral:
            wanted = [reductions[-1] >> (i + 1) for i in range(steps)]
            self._lateral_of = [reductions.index(r) for r in wanted]
            self.laterals.extend(nn.Conv2d(widths[i], cfg.channels, 1) for i in self._lateral_of)
        self.main = nn.Conv2d(cfg.channels, landmarks, 1)
        self.aux = nn.Conv2d(cfg.channels, landmarks, 1)
        _initialise(self)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of both heads, f32[B,K,h,w] each; x f32[B,3,S,S]."""
        feature = self._trunk(x)
        return self.main(feature), self.aux(feature)

    def predict(self, x: Tensor) -> Tensor:
        """Maps f32[B,K,h,w] of the main head alone."""
        maps: Tensor = self.main(self._trunk(x))
        return maps

    def _trunk(self, x: Tensor) -> Tensor:
        features = self.backbone(x)
        out: Tensor = features[-1]
        for i, block in enumerate(self.blocks):
            out = block(out)
            if self._lateral_of:
                out = out + self.laterals[i](features[self._lateral_of[i]])
        return out


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _initialise(net: Heatmap) -> None:
    """Deconvolutions and main head N(0, 0.001), the auxiliary head at the framework's default (spec 3.2)."""
    for module in net.blocks.modules():
        if isinstance(module, nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=0.001)
    nn.init.normal_(net.main.weight, std=0.001)
    assert net.main.bias is not None
    nn.init.zeros_(net.main.bias)
