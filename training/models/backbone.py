"""timm backbones as feature extractors: from f32[B,3,S,S] to maps f32[B,C_i,S/r_i,S/r_i], finest first.

HRNet gives the four raw branches of its last stage (W18: 18, 36, 72, 144 channels at strides 4 to 32), which belong
together: `concat` brings them to the finest one's size. Where its branches exchange maps, timm enlarges the coarser
one by repetition, as the authors of the ImageNet weights do; the release of STLD interpolates, and so does
`backbone_options = {exchange = "bilinear"}`. Vision transformers give maps at the stride of their patches and take any
multiple of it as crop, unless `img_size` fixes it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from lmdeploy.errors import InputError
from training.models.convert_bn import convert
from training.models.sepbn import Options
from training.models.vanilla_cnn import VANILLA, VanillaMaps
from training.weights import load_into

EXCHANGE = "exchange"  # our own backbone option, for HRNet
HRNET = {"feature_location": "", "out_indices": (1, 2, 3, 4)}  # without the stem and the classifier's widening


def feature_maps(
    name: str, options: dict[str, Any], pretrained: bool | str, sepbn: Options | None = None
) -> tuple[nn.Module, list[int], list[int]]:
    """A network from f32[B,3,S,S] to its feature maps, with the stride (crop px) and the channels of each map.

    Args:
        name: any timm model that offers feature maps, or `vanilla_cnn`.
        options: passed to timm, e.g. {"channels": [48, 64, 96, 128]}; HRNet's "exchange" is "nearest" or "bilinear".
        pretrained: fetch ImageNet weights, or a file of `lmdeploy data convert-weights`.
        sepbn: which batch norms become separable ones, after the weights are loaded; none where it is None.

    Raises:
        InputError: no such model, no feature maps, or weights that cannot be fetched or do not fit.
    """
    make = _vanilla if name == VANILLA else _of_timm
    net, reductions, channels = make(name, options, pretrained)
    if sepbn is not None:
        convert(net, sepbn)
    return net, reductions, channels


def _vanilla(name: str, options: dict[str, Any], pretrained: bool | str) -> tuple[nn.Module, list[int], list[int]]:
    if pretrained is True:
        raise InputError(f"there are no ImageNet weights for {name!r}: set network.pretrained = false, or to a file")
    try:
        net = VanillaMaps(**options)
    except (TypeError, RuntimeError) as error:
        raise InputError(f"backbone {name!r} gives no feature maps with these options: {error}") from error
    if isinstance(pretrained, str):
        load_into(net, pretrained, name)
    return net, [net.reduction], [net.channels[-1]]


def _of_timm(name: str, options: dict[str, Any], pretrained: bool | str) -> tuple[nn.Module, list[int], list[int]]:
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name[:6]}*")[:5]) or "see timm.list_models()"
        raise InputError(f"backbone {name!r} is not in timm; did you mean one of: {near}?")
    if pretrained is True and not timm.is_model_pretrained(name):
        raise InputError(f"timm has no weights for {name!r}: set network.pretrained = false, or to a file of weights")
    own, options = _exchange(name, options)
    net = _create(name, _options(name, options), pretrained is True)
    if own == "bilinear":
        _interpolate_between_branches(net)
    if is_parallel(name, options) and pretrained is not True:
        _small_convolutions(net)
    if isinstance(pretrained, str):
        load_into(net, pretrained, name)
    info: Any = net.feature_info
    return net, list(info.reduction()), list(info.channels())


def is_parallel(name: str, options: dict[str, Any]) -> bool:
    """Whether the maps were computed side by side and are used together: HRNet's branches."""
    return _options(name, options).get("feature_location") == ""


def concat(maps: Sequence[Tensor]) -> Tensor:
    """f32[B,sum C_i,h,w]: all maps at the size of the first one, bilinear between cell centres."""
    size = maps[0].shape[-2:]
    wide = [interpolate(m, size=size, mode="bilinear", align_corners=False) for m in maps[1:]]
    return torch.cat([maps[0], *wide], dim=1)


def check_size(name: str, options: dict[str, Any], size: int) -> None:
    """InputError unless the backbone turns crops of `size` px into maps that cover exactly the crop."""
    problem = _problem(name, json.dumps(options, sort_keys=True), size)
    if problem:
        raise InputError(problem)


@cache
def _problem(name: str, options: str, size: int) -> str:
    """Why the size does not fit, found by a forward pass without memory or arithmetic; empty where it does."""
    with torch.device("meta"):
        net, reductions, _ = feature_maps(name, json.loads(options), False)
        side = max(reductions)
        words = f"crop.size is {size}; for backbone {name!r} it must be a multiple of {side}"
        try:
            maps = net.eval()(torch.empty(1, 3, size, size))
        except (RuntimeError, AssertionError) as error:
            return f"{words} that its options allow ({str(error).splitlines()[0]})"
    exact = all(m.shape[-1] * r == size for m, r in zip(maps, reductions, strict=True))
    return "" if exact else words


def _options(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The user's options over what the family needs to give maps of any crop."""
    if name.startswith("hrnet"):
        return HRNET | options
    about = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if about is not None and about.fixed_input_size and "img_size" not in options:
        return {"dynamic_img_size": True} | options
    return options


def _exchange(name: str, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """How HRNet's branches enlarge maps for each other, and the options that are timm's."""
    own = options.get(EXCHANGE, "nearest")
    if own not in ("nearest", "bilinear") or (EXCHANGE in options and not name.startswith("hrnet")):
        raise InputError(f"network.backbone_options: {EXCHANGE} is for HRNet, and nearest or bilinear, not {own!r}")
    return own, {key: value for key, value in options.items() if key != EXCHANGE}


def _interpolate_between_branches(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.Upsample):
            module.mode, module.align_corners = "bilinear", False


def _create(name: str, options: dict[str, Any], pretrained: bool) -> nn.Module:
    try:
        net: nn.Module = timm.create_model(name, features_only=True, pretrained=pretrained, **options)
    except OSError as error:
        raise InputError(
            f"the ImageNet weights of {name!r} cannot be fetched ({type(error).__name__}): connect once, give "
            "network.pretrained a file of weights, or set it to false to start from random weights"
        ) from error
    except (RuntimeError, AttributeError, TypeError) as error:
        if options.get("dynamic_img_size"):  # some with a fixed size cannot take another one at run time
            return _create(name, {k: v for k, v in options.items() if k != "dynamic_img_size"}, pretrained)
        raise InputError(f"backbone {name!r} gives no feature maps with these options: {error}") from error
    return net


def _small_convolutions(net: nn.Module) -> None:
    """HRNet's own start: convolutions N(0, 0.001); batch norms 1 and 0 as they are (specification 3.2)."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.001)
