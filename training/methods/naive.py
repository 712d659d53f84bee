"""Naive selection-free self-training: all pseudo-labels count like true labels (STLD, III-B, tau = 0, lambda = 1).

    for t = 0 .. T:
        net = new network
        t = 0: data = labelled;  t >= 1: data = labelled + all pseudo
        loss = error(main, y) over all samples alike
        pseudo = main head's points on all unlabelled crops

Differs from the paper: `start`, `student` and the lengths, as in stld.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from training.data.crops import Crops
from training.engine.fit import Stage
from training.engine.train_set import Part
from training.engine.trainer import Trainer
from training.methods import supervised
from training.methods.round_zero import Start, round_zero
from training.models import Network


class Config(BaseModel):
    """Rounds and lengths; the defaults are those of STLD's study."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rounds: int = Field(default=4, ge=1)  # T
    sigma: float = 1.5
    start: Start = "train"
    student: Literal["init", "fresh"] = "init"  # what later rounds start from: --init's weights, or none of them
    epochs: int = 60
    decay_at: tuple[int, ...] = (40, 50)
    oversample: int = 100


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops) -> Network:
    """The rounds above; returns the network of round T."""
    truth = Part(labelled, sigma=cfg.sigma, oversample=cfg.oversample)
    network = round_zero(trainer, truth, _stage(cfg, 0), cfg.start)
    for t in range(1, cfg.rounds + 1):
        pseudo = trainer.pseudo_label(network, unlabelled, f"round{t - 1}")
        network = trainer.new_network(fresh=cfg.student == "fresh")
        trainer.fit(network, [truth, Part(pseudo, sigma=cfg.sigma)], supervised.step, _stage(cfg, t))
        trainer.report(network, f"round{t}")
    return network


def _stage(cfg: Config, t: int) -> Stage:
    return Stage(name=f"round{t}", epochs=cfg.epochs, decay_at=cfg.decay_at)
