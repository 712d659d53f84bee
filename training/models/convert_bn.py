"""Puts SepBN in the place of a network's batch norms, keeping their statistics and their gamma and beta.

Works on any network of nn.BatchNorm2d, timm's `BatchNormAct2d` (batch norm, dropout and activation in one) included.
A residual block is a module below the root that holds two or more batch norms of its own: timm's bottlenecks and basic
blocks, MobileNet's inverted residuals. The batch norm of a shortcut lies deeper and is never a block's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from torch import nn

from lmdeploy.errors import InputError
from training.models.sepbn import Options, make
from training.models.vanilla_cnn import VanillaCnn

LAST = 3  # number of a block's last batch norm, as in a bottleneck


def convert(network: nn.Module, options: Options) -> int:
    """Replace the batch norms that options.places names, in place; the number of them.

    Raises:
        InputError: there is none to replace.
    """
    chosen = list(_chosen(network, options.places))
    for parent, name, norm in chosen:
        setattr(parent, name, _with_activation(norm, make(norm, options)))
    if not chosen:
        raise InputError(
            f"network.sepbn.places = {options.places!r} names no batch norm of this backbone: take 'all', [3] (the "
            "last one of each residual block), or another backbone"
        )
    return len(chosen)


Place = tuple[nn.Module, str, nn.BatchNorm2d]


def _chosen(network: nn.Module, places: Literal["all"] | tuple[int, ...]) -> Iterator[Place]:
    if places == "all":
        return _all(network)
    if isinstance(network, VanillaCnn):
        return (place for number, place in enumerate(_all(network), start=1) if number in places)
    return _of_blocks(network, places)


def _all(network: nn.Module) -> Iterator[Place]:
    for parent in list(network.modules()):
        yield from _own(parent)


def _of_blocks(network: nn.Module, places: tuple[int, ...]) -> Iterator[Place]:
    for block in list(network.modules())[1:]:
        own = _own(block)
        # the convolutions of a stem stand in a plain list
        if len(own) < 2 or isinstance(block, nn.Sequential | nn.ModuleList | nn.ModuleDict):
            continue
        for i, place in enumerate(own):
            if LAST - len(own) + 1 + i in places:
                yield place


def _own(module: nn.Module) -> list[Place]:
    return [(module, name, child) for name, child in module.named_children() if isinstance(child, nn.BatchNorm2d)]


def _with_activation(norm: nn.BatchNorm2d, made: nn.Module) -> nn.Module:
    """What BatchNormAct2d does after normalising stays behind the new layer."""
    after = [m for m in (getattr(norm, "drop", None), getattr(norm, "act", None)) if m is not None]
    after = [m for m in after if not isinstance(m, nn.Identity)]
    return nn.Sequential(made, *after) if after else made
