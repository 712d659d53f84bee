"""Linear warm-up: naive self-training whose pseudo-labels count more from round to round (STLD, V-D, Fig. 9).

    for t = 0 .. T:
        net = new network
        t = 0: data = labelled;  t >= 1: data = labelled + all pseudo
        lambda_t = 0.1 + (1 - 0.1) (t - 1) / (T - 1)                       0.1, 0.4, 0.7, 1 for T = 4
        loss = sum_i w_i e_i / sum_i w_i,   w = 1 for labelled, lambda_t for pseudo
        pseudo = main head's points on all unlabelled crops

e_i: error of the main head on landmark i, as in supervised training. lambda = 1 is naive self-training, lambda = 0
supervised training on the labelled images.

Differs from the paper: the weighted sum of Eq. 4 is divided by the batch's weights, which the text leaves open;
`start` and `student`, as in stld.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from training.data.crops import Crops
from training.engine.batch import Batch
from training.engine.fit import Stage, Step
from training.engine.train_set import Part
from training.engine.trainer import Trainer
from training.losses.landmark_error import landmark_error
from training.losses.weighted_mean import weighted_mean
from training.methods.round_zero import Start, round_zero
from training.models import Network


class Config(BaseModel):
    """Rounds, weights and lengths; the defaults are those of STLD's study (TF: 360 epochs, decay at 240 and 320)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rounds: int = Field(default=4, ge=1)  # T
    lambda_first: float = Field(default=0.1, ge=0)  # weight of a pseudo-label in round 1
    lambda_last: float = Field(default=1.0, ge=0)  # and in round T
    sigma: float = 1.5  # width of the target Gaussian, map cells
    start: Start = "train"
    student: Literal["init", "fresh"] = "init"  # what later rounds start from: --init's weights, or none of them
    epochs: int = 60
    decay_at: tuple[int, ...] = (40, 50)
    oversample: int = 100


def lambda_of(cfg: Config, t: int) -> float:
    """lambda_t for t = 1 .. T; a single round has the last weight."""
    if cfg.rounds == 1:
        return cfg.lambda_last
    return cfg.lambda_first + (cfg.lambda_last - cfg.lambda_first) * (t - 1) / (cfg.rounds - 1)


def weighted_step(lambda_t: float) -> Step:
    """The step of a round: one head, pseudo-labelled samples at weight `lambda_t`."""

    def step(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        main, _ = network(batch.x)
        error = landmark_error(main, batch.target, batch.p)
        weight = torch.where(batch.pseudo, lambda_t, 1.0).unsqueeze(-1) * batch.visible
        return {"loss": weighted_mean(error, weight)}

    return step


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops) -> Network:
    """The rounds above; returns the network of round T."""
    truth = Part(labelled, sigma=cfg.sigma, oversample=cfg.oversample)
    network = round_zero(trainer, truth, _stage(cfg, 0), cfg.start)
    for t in range(1, cfg.rounds + 1):
        pseudo = trainer.pseudo_label(network, unlabelled, f"round{t - 1}")
        network = trainer.new_network(fresh=cfg.student == "fresh")
        parts = [truth, Part(pseudo, pseudo=True, sigma=cfg.sigma)]
        trainer.fit(network, parts, weighted_step(lambda_of(cfg, t)), _stage(cfg, t))
        trainer.report(network, f"round{t}")
    return network


def _stage(cfg: Config, t: int) -> Stage:
    return Stage(name=f"round{t}", epochs=cfg.epochs, decay_at=cfg.decay_at)
