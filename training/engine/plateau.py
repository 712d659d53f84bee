"""Says when a heatmap stage ends before the network has left the plateau of empty maps.

From random weights the cheapest answer to mostly black targets is black; the loss lies on that plateau for a while,
then falls. A network that is still on it finds landmarks by chance, and so would its pseudo-labels be.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from lmdeploy.bundle import ModelSpec
from training.augment.pipeline import centre_view
from training.codec import CODECS
from training.engine.train_set import TrainSet
from training.models.end_to_end import as_input
from training.models.heatmap import Heatmap

LOOK_AT = 32  # training crops, without augmentation
EMPTY = 0.8  # share of an empty map's squared error
FAINT = 0.3  # median peak; a trained network's is above 0.6, that of the mean over all poses below 0.25
ADVICE = (
    ", so its landmarks are chance: raise the epochs in the recipe's [options] or its schedule.lr, or start from "
    "trained weights (--init, network.pretrained = true)"
)


def warning(module: nn.Module, spec: ModelSpec, data: TrainSet, device: torch.device) -> str | None:
    """What to say (before ADVICE) when a network's maps of its own training crops are as good as empty, else None.

    module: the network, or one around it. data: what it was trained on.
    """
    network = next((inner for inner in module.modules() if isinstance(inner, Heatmap)), None)
    if network is None or len(data) == 0:
        return None
    rows = torch.from_numpy(np.linspace(0, len(data) - 1, min(LOOK_AT, len(data))).astype(np.int64))
    raw = data.gather(rows).to(device)
    images, points = centre_view(raw.images, raw.points, spec.crop.size)
    visible = torch.isfinite(points).all(dim=-1)
    maps = _maps(network, images)
    target = CODECS[spec.codec].encode(points.nan_to_num(), raw.sigma, maps.shape[-1], network.cfg.stride)
    share, peak = measure(maps, target, visible)
    if share < EMPTY and peak > FAINT:
        return None
    return f"its maps are still nearly empty (median peak {peak:.2f}, squared error {share:.0%} of an empty map's)"


def measure(maps: Tensor, target: Tensor, visible: Tensor) -> tuple[float, float]:
    """Squared error as a share of an empty map's, and the median peak.

    maps, target: f32[B,K,h,w]. visible: bool[B,K], the annotated landmarks.
    """
    seen, wanted = maps[visible], target[visible]
    if not len(seen):
        return 0.0, 1.0
    share = (seen - wanted).square().sum() / wanted.square().sum().clamp(min=1e-6)
    return float(share), float(seen.flatten(1).amax(dim=1).median())


def _maps(network: Heatmap, images: Tensor) -> Tensor:
    """Maps of plain crops u8[B,S,S,3]."""
    was_training = network.training
    network.eval()
    with torch.no_grad():
        maps = network.predict(as_input(images)).float()
    network.train(was_training)
    return maps
