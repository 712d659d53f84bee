"""STC, self-training with curriculum, on PIPNet (Jin, Liao, Shao: Pixel-in-Pixel Net, IJCV 2021).

    net = fit(labelled: std)
    for task in cls3, cls2, std, std, std:
        pseudo = net's merged points on all unlabelled crops
        net = new network
        fit(labelled: std, pseudo: task)
    loss = w_S L_S + w_O L_O + w_N L_N                 each over what its samples' task counts

std   the plain score map (w x w), offsets and neighbours: the whole detector
cls3  the score map after two poolings alone (w/4: "in which quarter of the crop?"), cls2 after one (w/2),
cls1  the plain one alone; the coarser the task, the more of the pseudo-labels are right
w_S, w_O, w_N  10, 1, 1: the authors' release

No pseudo-label is left out. The neighbours are the nearest landmarks of the labelled images' mean face.

Differs from the paper: the tasks, weights, lengths and the sharing of the score's convolution between the grids follow
the authors' release (at 256 px and stride 32: 8x8, 4x4, 2x2 cells); landmarks that are not annotated are left out of
every mean; `start` and `student` as in naive; `oversample` repeats the labelled list (the release does not).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from lmdeploy.errors import InputError
from lmdeploy.types import F32
from training.data.crops import Crops
from training.engine.batch import Batch
from training.engine.fit import Stage, Step
from training.engine.train_set import Part
from training.engine.trainer import Trainer
from training.losses.pip_loss import Label, near_loss, offset_loss, score_loss
from training.models.pipnet import PipNet
from training.models.raw import RawOutputs

Task = Literal["cls3", "cls2", "cls1", "std"]
LEVEL = {"cls3": 2, "cls2": 1, "cls1": 0, "std": 0}
"""Poolings before the score map that counts."""


class Config(BaseModel):
    """Curriculum, weights and lengths; the defaults are the authors' release."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: tuple[Task, ...] = Field(default=("cls3", "cls2", "std", "std", "std"), min_length=1)
    w_score: float = 10.0  # w_S
    w_offset: float = 1.0  # w_O
    w_near: float = 1.0  # w_N
    start: Literal["train", "init"] = "train"
    student: Literal["init", "fresh"] = "init"  # what later rounds start from: --init's weights, or none of them
    epochs: int = 60
    decay_at: tuple[int, ...] = (30, 50)
    oversample: int = 0

    @property
    def rounds(self) -> int:
        """Rounds after the supervised one."""
        return len(self.tasks)


def curriculum_step(cfg: Config, neighbours: Tensor, task: Task) -> Step:
    """The step in which labelled samples have the task std and pseudo-labelled ones `task`."""

    def step(raw_outputs: nn.Module, batch: Batch) -> dict[str, Tensor]:
        scores, offset, near = raw_outputs(batch.x)
        level = torch.where(batch.pseudo, LEVEL[task], LEVEL["std"])
        whole = ~batch.pseudo if task != "std" else torch.ones_like(batch.pseudo)
        label = Label(batch.target, batch.visible, neighbours, level, whole)
        l_s, l_o, l_n = score_loss(scores, label), offset_loss(offset, label), near_loss(near, label)
        loss = cfg.w_score * l_s + cfg.w_offset * l_o + cfg.w_near * l_n
        return {"loss": loss, "l_s": l_s, "l_o": l_o, "l_n": l_n}

    return step


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops) -> PipNet:
    """The rounds above; returns the network of the last task."""
    truth = Part(labelled, oversample=cfg.oversample)
    face = mean_face(labelled.points)
    network = new_pipnet(trainer, face)
    if cfg.start == "train":
        _fit(cfg, trainer, network, [truth], 0)
    elif not trainer.starts_from_init:
        raise InputError("stc: start = 'init' needs the weights to start from: give --init BUNDLE or CHECKPOINT")
    trainer.report(network, "round0")
    for t in range(1, cfg.rounds + 1):
        pseudo = trainer.pseudo_label(network, unlabelled, f"round{t - 1}")
        network = new_pipnet(trainer, face, fresh=cfg.student == "fresh")
        _fit(cfg, trainer, network, [truth, Part(pseudo, pseudo=True)], t)
        trainer.report(network, f"round{t}")
    return network


def mean_face(points: F32) -> Tensor:
    """Mean f32[K,2] of points f32[N,K,2] over the images that have the landmark, NaN where none has."""
    known = np.isfinite(points)
    total = np.where(known, points, 0).sum(axis=0)
    count = known.sum(axis=0)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return torch.from_numpy(mean.astype(np.float32))


def new_pipnet(trainer: Trainer, face: Tensor, fresh: bool = False) -> PipNet:
    """A new network with the neighbours of the mean face f32[K,2]; --init's weights bring their own table."""
    network = trainer.new_network(fresh)
    if not isinstance(network, PipNet):
        raise InputError(
            f"stc trains PIPNet, not a {network.cfg.kind} network: set network.kind = 'pipnet' and codec = 'coords', "
            "and give no --init of another kind"
        )
    if fresh or not trainer.starts_from_init:
        network.place(face)
    return network


def _fit(cfg: Config, trainer: Trainer, network: PipNet, parts: list[Part], t: int) -> None:
    """Round t; round 0 has labelled samples only."""
    step = curriculum_step(cfg, network.neighbours, cfg.tasks[t - 1] if t else "std")
    trainer.fit(RawOutputs(network), parts, step, Stage(name=f"round{t}", epochs=cfg.epochs, decay_at=cfg.decay_at))
