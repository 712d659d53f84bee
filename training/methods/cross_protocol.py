"""Cross-protocol network training, CNT (SepBN, IV): one network from data sets with different landmarks.

    stage 1, joint     data = all data sets in one list, so that each is drawn in proportion to its size
                       d(x)  the data set of sample x            y*  its target: points in crop widths, or maps
                       f_d   shared backbone, then branch d
                       L     = (1/B) sum_x mean over the landmarks of d(x) of |f_d(x)(x) - y*|        (maps: ^2)
    stage 2, fine      the other branches are dropped; data = the one data set (--data)
                       step size: backbone_lr for what was shared, the schedule's for the branch

Landmarks of other data sets are not annotated in a sample, so they give no loss and their branch no gradient. A
network with branches sends each sample through its own one; a heatmap network has one 1x1 convolution whose rows are
the data sets' own heads. `fine = false` ends after stage 1 and keeps all branches: one network for all schemas, which
the file stages/joint.safetensors of any run holds too. `start = "init"` takes such a file as stage 1's result.

Differs from the paper: an epoch is a permutation of the union, so every batch has the stated proportions on average
and every epoch exactly; the backbone's step size in stage 2 follows the schedule's curve below its 1e-7.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from lmdeploy.errors import InputError
from lmdeploy.parts import Part as Protocol
from training.data.crops import Crops
from training.engine.batch import Batch
from training.engine.fit import Stage, Step
from training.engine.train_set import Part
from training.engine.trainer import Trainer
from training.losses.landmark_error import landmark_error
from training.losses.sample_mean import sample_mean
from training.models import Network
from training.models.branches import Branches
from training.models.narrow import shared


class Config(BaseModel):
    """Lengths of both stages; the defaults are Section V-A's, the length of stage 1 is not stated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sigma: float = 1.5  # of heatmap targets, map cells
    start: Literal["train", "init"] = "train"
    epochs: int = 500  # of stage 1, over the union
    decay_at: tuple[int, ...] = ()
    oversample: int = 0  # the union is repeated up to this length
    fine: bool = True
    fine_epochs: int = 500  # of stage 2, over --data
    fine_decay_at: tuple[int, ...] = ()
    fine_oversample: int = 0
    backbone_lr: float = Field(default=1e-7, ge=0)


def part_of(visible: Tensor, parts: tuple[Protocol, ...]) -> Tensor:
    """Which data set each sample is of, i64[B], from the annotated landmarks bool[B,K]."""
    return torch.stack([visible[:, part.rows].any(dim=1) for part in parts], dim=1).int().argmax(dim=1)


def step_of(parts: tuple[Protocol, ...]) -> Step:
    """The loss of one batch on each sample's own landmarks; parts: those that the network has branches for."""

    def step(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        main, aux = network(batch.x, part_of(batch.visible, parts)) if parts else network(batch.x)
        own = sample_mean(landmark_error(main, batch.target, batch.p), batch.visible)
        if main.dim() == 4:
            return {"loss": own}
        second = sample_mean(landmark_error(aux, batch.target, batch.p), batch.visible)
        return {"loss": own + second, "main": own}

    return step


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops | None) -> Network:
    """Both stages; returns the network of --data alone, or with fine = false that of all data sets."""
    parts, target = trainer.settings.spec.parts, trainer.settings.target
    network = trainer.new_network()
    if cfg.start == "init" and not trainer.starts_from_init:
        raise InputError('start = "init" takes stage 1 as done: give its model with --init, or set start = "train"')
    if cfg.start == "train":
        both = Part(labelled, sigma=cfg.sigma, oversample=cfg.oversample)
        stage = Stage(name="joint", epochs=cfg.epochs, decay_at=cfg.decay_at)
        trainer.fit(network, [both], step_of(parts if isinstance(network, Branches) else ()), stage)
        trainer.report(network, "joint")
    if not cfg.fine:
        return network
    network = trainer.focus(network)
    own = dataclasses.replace(_of(labelled, parts, target), sigma=cfg.sigma, oversample=cfg.fine_oversample)
    slow = dict.fromkeys(shared(network), cfg.backbone_lr / trainer.settings.schedule.lr)
    stage = Stage(name="fine", epochs=cfg.fine_epochs, decay_at=cfg.fine_decay_at, rates=slow)
    trainer.fit(network, [own], step_of(()), stage)
    trainer.report(network, "fine")
    return network


def _of(crops: Crops, parts: tuple[Protocol, ...], label: str) -> Part:
    """The crops that are annotated in the part's landmarks, with those landmarks alone."""
    rows = next(part.rows for part in parts if part.label == label)
    points = crops.points[:, rows]
    chosen = np.flatnonzero(np.isfinite(points).any(axis=(1, 2)))
    return Part(crops.with_points(points), rows=tuple(chosen.tolist()))
