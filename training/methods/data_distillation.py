"""Data Distillation ("Towards Omni-Supervised Learning"): a teacher, labels from many copies of an image, a student.

    teacher = network fitted on labelled
    for t = 1 .. rounds:                                     1 in the original
        for each unlabelled crop:
            H = mean of the teacher's maps over {plain, mirrored} x scales, mapped back
            y, peak = decode(H)                              hard labels
        A = {images whose mean peak >= tau}                  tau = 0: all
        teacher = new network fitted on labelled + A, all samples alike

mu: where positive, every batch holds the schedule's number of labelled rows and mu times as many from A (the
original keeps a fixed share); 0 shuffles both into one list like the rest of STLD's study.

Differs from the paper: scales {0.9, 1, 1.1} instead of the original's image pyramid, because a crop is already at
the face's scale; coordinates of a network without maps are averaged as points, and not thresholded; `start` and
`student`, as in stld.
"""

from __future__ import annotations

import logging
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from training.data.crops import Crops
from training.engine.ensemble import ensemble
from training.engine.fit import Stage
from training.engine.train_set import Part
from training.engine.trainer import Trainer
from training.methods import confidence, pseudo_label, supervised
from training.methods.round_zero import Start, round_zero
from training.models import Network

log = logging.getLogger(__name__)


class Config(BaseModel):
    """Copies, rounds and lengths; the defaults are those of STLD's study."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scales: tuple[float, ...] = Field(default=(0.9, 1.0, 1.1), min_length=1)
    mirror: bool = True  # copies mirrored left to right too, where the landmark schema has mirror twins
    tau: float = Field(default=0.0, ge=0)  # confidence threshold, mean peak of the averaged maps
    rounds: int = Field(default=1, ge=1)
    mu: int = Field(default=0, ge=0)  # pseudo-labelled rows per labelled row; 0: one shuffled list
    sigma: float = 1.5  # width of the target Gaussian, map cells
    start: Start = "train"
    student: Literal["init", "fresh"] = "init"  # what the student starts from: --init's weights, or none of them
    epochs: int = 60
    decay_at: tuple[int, ...] = (40, 50)
    oversample: int = 100


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops) -> Network:
    """The rounds above; returns the last student, or the teacher where no label reaches tau."""
    if cfg.tau > 0:
        confidence.needs_peaks(trainer, "data_distillation with tau > 0")
    truth = Part(labelled, sigma=cfg.sigma, oversample=cfg.oversample)
    network = round_zero(trainer, truth, _stage(cfg, 0), cfg.start)
    views = ensemble(cfg.scales, cfg.mirror)
    for t in range(1, cfg.rounds + 1):
        pseudo = trainer.pseudo_label(network, unlabelled, f"round{t - 1}", views)
        chosen = pseudo_label.select(confidence.of_images(pseudo), cfg.tau)
        log.info("round %d: %d of %d labels reach tau = %g", t, len(chosen), len(pseudo), cfg.tau)
        if not chosen:
            break
        network = trainer.new_network(fresh=cfg.student == "fresh")
        trainer.fit(network, [truth, Part(pseudo, sigma=cfg.sigma, rows=chosen)], supervised.step, _stage(cfg, t))
        trainer.report(network, f"round{t}")
    return network


def _stage(cfg: Config, t: int) -> Stage:
    return Stage(name=f"round{t}", epochs=cfg.epochs, decay_at=cfg.decay_at, mu=cfg.mu if t else 0)
