"""timm backbones as feature extractors."""

from __future__ import annotations

from typing import Any

import timm
from torch import nn

from lmdeploy.errors import InputError


def feature_maps(name: str, options: dict[str, Any], pretrained: bool) -> tuple[nn.Module, list[int], list[int]]:
    """A network from f32[B,3,S,S] to its feature maps, with the stride (crop px) and the channels of each map.

    Args:
        name: any timm model that offers feature maps.
        options: passed to timm, e.g. {"channels": [48, 64, 96, 128]}.
        pretrained: fetch ImageNet weights.

    Raises:
        InputError: no such model, no feature maps, or weights that cannot be fetched.
    """
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name[:6]}*")[:5]) or "see timm.list_models()"
        raise InputError(f"backbone {name!r} is not in timm; did you mean one of: {near}?")
    try:
        net = timm.create_model(name, features_only=True, pretrained=pretrained, **options)
    except OSError as error:
        raise InputError(
            f"the ImageNet weights of {name!r} cannot be fetched ({type(error).__name__}): connect once, or "
            "set network.pretrained = false to start from random weights"
        ) from error
    except (RuntimeError, AttributeError, TypeError) as error:
        raise InputError(f"backbone {name!r} gives no feature maps with these options: {error}") from error
    info: Any = net.feature_info
    return net, list(info.reduction()), list(info.channels())
