"""Labels that are whole maps instead of points: what a network says of plain crops, kept in half precision."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from training.augment.pipeline import centre_view
from training.data.crops import Crops
from training.engine import processes
from training.engine.predictor import BATCH
from training.engine.pseudo_labels import own_run
from training.engine.train_set import F16
from training.models.end_to_end import as_input

MapsOf = Callable[[Tensor], Tensor]
"""Normalised plain crops f32[B,3,S,S] -> maps f32[B,C,h,w], without gradient."""


def predict_maps(maps_of: MapsOf, crops: Crops, rows: tuple[int, ...], size: int, device: torch.device) -> F16:
    """Maps f16[len(rows),C,h,w] of the crops `rows`, in their order; `size` is the plain crop's side, px.

    Each process takes a run of whole prediction batches, as for points. Half precision keeps values below 1 to 0.0003.
    """
    if not rows:
        return np.zeros((0, 1, 1, 1), np.float16)
    first, last = own_run(len(rows))
    mine = rows[first:last] or rows[:1]  # a process without any says at least what shape they have
    points = torch.zeros(0)
    found = []
    for i in range(0, len(mine), BATCH):
        images, _ = centre_view(torch.tensor(crops.images[list(mine[i : i + BATCH])], device=device), points, size)
        found.append(maps_of(as_input(images)).float().cpu().numpy())
    return processes.gather(np.concatenate(found)[: last - first]).astype(np.float16)
