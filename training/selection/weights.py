"""Entropy and descriptors of crops through a model's weights, in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from lmdeploy.errors import InputError
from lmdeploy.types import F32, U8
from training.engine import checkpoint
from training.engine.predictor import network_of
from training.selection.measures import measure_batch, needs_maps


def measure_of(path: Path, strategy: str, provider: str) -> Callable[[U8], F32]:
    """What measures crops u8[B,S,S,3] RGB -> f32[B,D].

    Args:
        path: a checkpoint, a run folder, or a bundle that holds its weights.
        strategy: entropy or k_center.
        provider: of the model that is open already; PyTorch runs where it does.
    Errors: InputError for a model without weights, or whose network cannot tell.
    """
    try:
        saved = checkpoint.read(checkpoint.find(path))
    except InputError as error:
        raise InputError(
            f"strategy {strategy} needs the network's weights, which {path} does not hold ({error}): give a "
            "checkpoint or its run folder, or take --strategy nnm"
        ) from error
    needs_maps(strategy, saved.about.spec.codec)
    network = network_of(saved)
    device = torch.device("cuda" if "cuda" in provider.lower() else "cpu")
    network.to(device)
    return lambda crops: measure_batch(strategy, network, crops, 1, device)
