"""What a strategy needs to know of each image, measured with a network: NNM, entropy, or a descriptor.

nnm, entropy    f32[N,1] from the main head's maps
k_center        f32[N,D] descriptor: z of an auto-encoder; else the mean over cells of the backbone's last map [R]
random          nothing: f32[N,1] of zeros
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from lmdeploy.errors import InputError
from lmdeploy.types import F32, U8
from training.codec import CODECS
from training.data.crops import Crops
from training.engine import processes
from training.engine.predictor import BATCH
from training.models import Network
from training.models.base import OnBackbone
from training.models.end_to_end import as_input
from training.models.scaf import Scaf
from training.selection.entropy import entropy
from training.selection.nnm import nnm

Measure = Callable[[Network, Tensor, int], Tensor]
"""(network, x f32[B,3,S,S] normalised, side of NNM's window) -> f32[B,D]."""


def embed(network: Network, x: Tensor, window: int = 0) -> Tensor:
    """Descriptor f32[B,D] of each crop; window is not used."""
    if isinstance(network, Scaf):
        z: Tensor = network(x)[1]
        return z.float()
    if not isinstance(network.cfg, OnBackbone):
        raise InputError(
            f"k_center needs a descriptor of each image, which a {network.cfg.kind} network does not offer"
        )
    assert isinstance(network.backbone, nn.Module)
    last: Tensor = network.backbone(x)[-1]
    return last.float().mean(dim=(2, 3))


MEASURES: dict[str, Measure] = {
    "entropy": lambda network, x, window: entropy(network.predict(x).float()).unsqueeze(1),
    "k_center": embed,
    "nnm": lambda network, x, window: nnm(network.predict(x).float(), window).unsqueeze(1),
    "random": lambda network, x, window: x.new_zeros(len(x), 1),
}


def needs_maps(strategy: str, codec: str) -> None:
    """InputError where a strategy looks at maps and the network gives coordinates."""
    if strategy in ("nnm", "entropy") and not CODECS[codec].maps:
        raise InputError(
            f"{strategy} looks at heatmaps, and a network with codec {codec!r} gives coordinates: take a heatmap "
            "network, or strategy k_center or random"
        )


def measure_batch(strategy: str, network: Network, images: U8, window: int, device: torch.device) -> F32:
    """f32[B,D] of images u8[B,S,S,3] RGB, network in eval mode."""
    network.eval()
    with torch.inference_mode():
        x = as_input(torch.tensor(images, device=device))
        found: F32 = MEASURES[strategy](network, x, window).cpu().numpy()
    return found


def measure(strategy: str, network: Network, crops: Crops, size: int, window: int) -> F32:
    """f32[N,D] of the plain crops of side `size`, px; the processes of a run share the work.

    Each process takes a run of whole batches, so the answer does not depend on their number.
    """
    device = next(network.parameters()).device
    start, share = (crops.images.shape[1] - size) // 2, processes.share()
    blocks = -(-len(crops) // BATCH)
    first, last = (min(blocks * r // share.world * BATCH, len(crops)) for r in (share.rank, share.rank + 1))
    inside = crops.images[:, start : start + size, start : start + size]
    parts = [
        measure_batch(strategy, network, inside[i : min(i + BATCH, last)], window, device)
        for i in range(first, last, BATCH)
    ]
    width = measure_batch(strategy, network, inside[:1], window, device).shape[1] if not parts else parts[0].shape[1]
    return processes.gather(np.concatenate([np.zeros((0, width), np.float32), *parts]))
