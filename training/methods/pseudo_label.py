"""PL: self-training on the pseudo-labels above a threshold (STLD, III-B, Eq. 3).

    A = {}
    for t = 0 .. T:
        net = new network, fitted on labelled + A, all samples alike
        pseudo = main head's points and peaks on all unlabelled crops
        A = {images whose mean peak >= tau};   stop when A does not grow

tau: confidence threshold, mean heatmap peak in [0, 1]; 0.4 is the value of STLD's Fig. 2. The optimum of its Fig. 8
is tuned on the test set and can be read off the figure only.

tau = 0 keeps everything: naive self-training. tau > 1 keeps nothing: supervised training.

Differs from the paper: an A that already holds every image does not end the rounds, because the paper's naive
baseline, which is this method at tau = 0, runs all T of them; `start` and `student`, as in stld.
"""

from __future__ import annotations

import logging
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from lmdeploy.types import F64
from training.data.crops import Crops
from training.engine.fit import Stage
from training.engine.train_set import Part
from training.engine.trainer import Trainer
from training.methods import confidence, supervised
from training.methods.round_zero import Start, round_zero
from training.models import Network

log = logging.getLogger(__name__)


class Config(BaseModel):
    """Threshold, rounds and lengths; the defaults are those of STLD's study."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tau: float = Field(default=0.4, ge=0)  # confidence threshold, mean heatmap peak
    rounds: int = Field(default=4, ge=1)  # T
    sigma: float = 1.5  # width of the target Gaussian, map cells
    start: Start = "train"
    student: Literal["init", "fresh"] = "init"  # what later rounds start from: --init's weights, or none of them
    epochs: int = 60
    decay_at: tuple[int, ...] = (40, 50)
    oversample: int = 100


def select(scores: F64, tau: float) -> tuple[int, ...]:
    """A: the images whose confidence f64[N] reaches tau."""
    return tuple(int(i) for i in np.flatnonzero(scores >= tau))


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops) -> Network:
    """The rounds above; returns the network of the last one."""
    confidence.needs_peaks(trainer, "pseudo_label")
    truth = Part(labelled, sigma=cfg.sigma, oversample=cfg.oversample)
    network = round_zero(trainer, truth, _stage(cfg, 0), cfg.start)
    size = 0  # of A in the round before
    for t in range(1, cfg.rounds + 1):
        pseudo = trainer.pseudo_label(network, unlabelled, f"round{t - 1}")
        chosen = select(confidence.of_images(pseudo), cfg.tau)
        log.info("round %d: %d of %d pseudo-labels reach tau = %g", t, len(chosen), len(pseudo), cfg.tau)
        if len(chosen) <= size < len(pseudo):
            break
        size = len(chosen)
        network = trainer.new_network(fresh=cfg.student == "fresh")
        trainer.fit(network, [truth, Part(pseudo, sigma=cfg.sigma, rows=chosen)], supervised.step, _stage(cfg, t))
        trainer.report(network, f"round{t}")
    return network


def _stage(cfg: Config, t: int) -> Stage:
    return Stage(name=f"round{t}", epochs=cfg.epochs, decay_at=cfg.decay_at)
