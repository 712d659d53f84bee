"""Cached crops as a network sees them without augmentation, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from training.augment.pipeline import centre_view
from training.data.crops import Crops
from training.engine.predictor import BATCH
from training.models.end_to_end import as_input


def plain_batches(crops: Crops, size: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches (x f32[B,3,size,size] normalised, points f32[B,K,2] crop px) in the order of the crops."""
    for i in range(0, len(crops), BATCH):
        images = torch.tensor(crops.images[i : i + BATCH], device=device)
        points = torch.tensor(crops.points[i : i + BATCH], device=device)
        images, points = centre_view(images, points, size)
        yield as_input(images), points
