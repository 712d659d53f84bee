"""The students' pseudo-labels as the maps that were predicted instead of Gaussians at their points (TS3, Algorithm 1).

    H     = the maps of the plain crops, f16[N,C,h,h]       of the chosen images alone
    H_v   = H moved with a sample's random view v           one bicubic warp; mirror twins change their maps' names
    l_b   = sum over stages m of |H_m - H_v|^2              Eq. 2 with H_v, resized (bicubic) to the stage's cells

The background moves like any other map, as b = 1 - background: where a view shows what the plain crop does not, no
landmark is known, so its maps and b are 0, the background is 1.

68 points and their background at 16 x 16 cells take 35 kB an image: 5,000 images of which 60 % are chosen, 106 MB.
Nothing is written to the run folder: a resumed run predicts H again from the weights of the stage before.

Differs from the paper: it does not say how H follows the augmented image. What is moved here loses some of its peak
(see view_maps) and grows with the image, which a Gaussian drawn anew does not.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from training.data.crops import Crops
from training.engine.batch import Batch
from training.engine.streams import answer
from training.engine.train_set import F16
from training.engine.trainer import Trainer
from training.losses.detection import whole
from training.models import Network
from training.models.cpm import Cpm
from training.models.hourglass import StackedHourglass
from training.models.raw import RawOutputs

PseudoTarget = Literal["gaussians", "maps"]
"""What a student learns of a pseudo-label: Gaussians drawn at its points, or the predicted maps."""


def last_maps(network: Network, x: Tensor) -> Tensor:
    """H f32[B,C,h,h] of x f32[B,3,S,S]: of one student its last stage, of several their average (Eq. 5)."""
    return answer(RawOutputs(network) if isinstance(network, Cpm | StackedHourglass) else network, x)[-1].float()


def swapped(maps: Tensor, landmarks: int) -> Tensor:
    """Maps f32[B,C,h,h] with the background (those after the landmarks) as 1 - itself; its own inverse."""
    return torch.cat([maps[:, :landmarks], 1 - maps[:, landmarks:]], dim=1)


def kept_maps(trainer: Trainer, network: Network, crops: Crops, rows: tuple[int, ...]) -> F16:
    """H of some crops, as Part.maps has it."""
    landmarks = trainer.settings.spec.landmarks.points
    return trainer.map_labels(lambda x: swapped(last_maps(network, x), landmarks), crops, rows)


def wanted_maps(gaussians: Tensor, batch: Batch, maps: int) -> tuple[Tensor, Tensor]:
    """H* f32[B,C,h,h] for C = `maps`, and which of them count, bool[B,C].

    gaussians: f32[B,K,h,h] at the batch's points; of a batch with maps they are the labelled samples' alone.
    """
    wanted, counted = whole(gaussians, batch.visible, maps)
    if batch.maps is None:
        return wanted, counted
    cells = wanted.shape[-1]
    moved = batch.maps
    if moved.shape[-1] != cells:
        moved = interpolate(moved, size=(cells, cells), mode="bicubic", align_corners=False)
    said = swapped(moved, gaussians.shape[1])
    return torch.where(batch.pseudo.view(-1, 1, 1, 1), said, wanted), counted | batch.pseudo.unsqueeze(1)
