"""Crops for a bundle's reference.npz: generated ones on which the network is as sure as on what it is for.

On pictures of nothing a heatmap network's maps hold several peaks of nearly the same height, and any rounding makes
another one the highest: an engine in bf16 that is 0.08 px off on faces is 7 px off on plain noise. So the pictures are
changed by gradient steps until the network's scores are high; no real picture is needed, nor shipped.
"""

from __future__ import annotations

import torch

from export.parity import generated_crops
from lmdeploy.bundle import ModelSpec
from lmdeploy.types import U8
from training.codec import CODECS
from training.models import Network
from training.models.end_to_end import normalise

STEPS = 25
STEP = 3.0  # grey levels at one standard deviation of the gradient
SURE = 0.01  # mean of (1 - score)^2 at which the scores are high enough


def reference_crops(network: Network, spec: ModelSpec) -> U8:
    """Crops u8[16,S,S,3] RGB, the same in every call; plain generated ones where the score says nothing of the input.

    Args:
        network: in eval mode; its weights stay as they are.
        spec: its codec and the size of its crops.
    """
    images = torch.tensor(generated_crops(spec.crop.size)).permute(0, 3, 1, 2).float()
    for _ in range(STEPS):
        images.requires_grad_(True)
        unsure = (1 - _score(network, spec, images)).square().mean()
        if not unsure.requires_grad or unsure.item() <= SURE:
            break
        (slope,) = torch.autograd.grad(unsure, images)
        width = slope.flatten(1).std(dim=1).clamp(min=1e-20)[:, None, None, None]
        images = (images.detach() - STEP * (slope / width).clamp(-3, 3)).clamp(0, 255)
    crops: U8 = images.detach().round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return crops


def _score(network: Network, spec: ModelSpec, images: torch.Tensor) -> torch.Tensor:
    """Scores f32[B,K] in [0, 1] of images f32[B,3,S,S], as the exported graph gives them."""
    codec, x = CODECS[spec.codec], normalise(images)
    heads = network(x) if codec.both_heads else (network.predict(x),)
    return codec.measure(heads, network.cfg.unit(images.shape[-1])).score
