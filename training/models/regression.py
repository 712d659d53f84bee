"""Coordinates straight from pooled features (SepBN, Sections III-A and V-D): Vanilla CNN or any timm network.

    x        f32[B,3,S,S]    normalised RGB
    feature  f32[B,D]        Vanilla CNN: its hidden vector, D = 1024; timm: the network without its classifier
    main     f32[B,K,2]      linear, crop widths
    aux      f32[B,K,2]      a second linear layer on the same feature; never used by `predict`

`sepbn` puts separable batch norms into the trunk. Coordinates are trained with the L1 loss (landmark_error, p = 1).

Differs from the paper: the auxiliary head, which self-training needs; the paper's networks have the main one alone.
The heads' biases start in the middle of the crop. The unit of the coordinates is not stated; here crop widths, [0, 1]
inside the crop.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import timm
import torch
from torch import Tensor, nn

from lmdeploy.errors import InputError
from training.models.base import Network, OnBackbone
from training.models.convert_bn import convert
from training.models.vanilla_cnn import VANILLA, VanillaCnn
from training.weights import load_into

CENTRE = 0.5  # crop widths


class Config(OnBackbone):
    """Architecture of a coordinate regression; the default is the paper's Vanilla CNN.

    backbone: `vanilla_cnn` (backbone_options: channels, hidden, size) or any timm model.
    """

    codecs: ClassVar = ("coords",)

    kind: Literal["regression"] = "regression"
    backbone: str = VANILLA

    def check(self, size: int) -> None:
        """InputError where the trunk does not take crops of side `size`."""
        with torch.device("meta"):
            trunk = make_trunk(self.backbone, self.backbone_options, pretrained=False)
        if isinstance(trunk, VanillaCnn) and (size != trunk.size or size % trunk.maps.reduction):
            raise InputError(
                f"crop.size is {size}, but the Vanilla CNN is built for {trunk.size}: set network.backbone_options = "
                f"{{ size = {size} }}, a multiple of {trunk.maps.reduction}"
            )


class Regression(Network):
    """Trunk, main and auxiliary head."""

    def __init__(self, cfg: Config, landmarks: int) -> None:
        """Build the network for K = `landmarks` points; random weights unless cfg.pretrained."""
        super().__init__(cfg, landmarks)
        self.trunk = make_trunk(cfg.backbone, cfg.backbone_options, cfg.pretrained)
        # MobileNets widen the pooled feature after the last block
        width: Any = getattr(self.trunk, "head_hidden_size", None) or self.trunk.num_features
        if cfg.sepbn is not None:
            convert(self.trunk, cfg.sepbn)
        self.main = nn.Linear(int(width), 2 * landmarks)
        self.aux = nn.Linear(int(width), 2 * landmarks)
        for head in (self.main, self.aux):
            nn.init.constant_(head.bias, CENTRE)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates f32[B,K,2] of both heads, crop widths; x f32[B,3,S,S]."""
        feature: Tensor = self.trunk(x)
        # bf16 has steps of 1/256 near 1, a pixel of a 256-px crop: the heads stay in fp32
        with torch.autocast(feature.device.type, enabled=False):
            main, aux = (head(feature.float()).unflatten(1, (-1, 2)) for head in (self.main, self.aux))
        return main, aux


def make_trunk(name: str, options: dict[str, Any], pretrained: bool | str) -> nn.Module:
    """From f32[B,3,S,S] to f32[B,D].

    Raises:
        InputError: no such network, options that it does not take, or weights that cannot be fetched or do not fit.
    """
    if name != VANILLA and not timm.is_model(name):
        raise InputError(f"backbone {name!r} is neither {VANILLA} nor in timm; see timm.list_models()")
    if pretrained is True and (name == VANILLA or not timm.is_model_pretrained(name)):
        raise InputError(f"there are no ImageNet weights for {name!r}: set network.pretrained = false, or to a file")
    try:
        net = _create(name, options, pretrained is True)
    except OSError as error:
        raise InputError(
            f"the ImageNet weights of {name!r} cannot be fetched ({type(error).__name__}): connect once, give "
            "network.pretrained a file of weights, or set it to false to start from random weights"
        ) from error
    except (RuntimeError, TypeError) as error:
        raise InputError(f"backbone {name!r} does not take these options: {error}") from error
    if isinstance(pretrained, str):
        load_into(net, pretrained, name)
    return net


def _create(name: str, options: dict[str, Any], pretrained: bool) -> nn.Module:
    if name == VANILLA:
        return VanillaCnn(**options)
    net: nn.Module = timm.create_model(name, num_classes=0, pretrained=pretrained, **options)
    return net
