"""CL, Curriculum Labeling ("Curriculum Labeling: Revisiting Pseudo-Labeling ..."), as run in STLD's study.

    T = ceil(1 / s)
    for t = 0 .. T:
        net = new network, fitted on labelled + A_t, all samples alike            A_0 = {}
        pseudo = main head's points and peaks on all unlabelled crops
        A_{t+1} = {images whose mean peak >= the (1 - (t + 1) s) quantile of all mean peaks}

s: the share of the unlabelled images that each round adds, 25 %. The quantile is taken anew over all images in every
round, and ties at it are all kept.

Differs from the paper: s = 25 % instead of 20 %, so that the four rounds of STLD's study end with all images;
confidence is the mean heatmap peak instead of the largest softmax value; `start` and `student`, as in stld.
"""

from __future__ import annotations

import logging
import math
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
    """Step of the curriculum and lengths; the defaults are those of STLD's study."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: float = Field(default=0.25, gt=0, le=1)  # s
    sigma: float = 1.5  # width of the target Gaussian, map cells
    start: Start = "train"
    student: Literal["init", "fresh"] = "init"  # what later rounds start from: --init's weights, or none of them
    epochs: int = 60
    decay_at: tuple[int, ...] = (40, 50)
    oversample: int = 100

    @property
    def rounds(self) -> int:
        """T: as many as it takes to reach all images."""
        return math.ceil(1 / self.step - 1e-9)


def select(scores: F64, share: float) -> tuple[int, ...]:
    """The top `share` in (0, 1] of the images by confidence f64[N], all of those tied at the quantile included."""
    threshold = np.percentile(scores, 100 * (1 - share))
    return tuple(int(i) for i in np.flatnonzero(scores >= threshold))


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops) -> Network:
    """The rounds above; returns the network of round T."""
    confidence.needs_peaks(trainer, "curriculum_labeling")
    truth = Part(labelled, sigma=cfg.sigma, oversample=cfg.oversample)
    network = round_zero(trainer, truth, _stage(cfg, 0), cfg.start)
    for t in range(1, cfg.rounds + 1):
        pseudo = trainer.pseudo_label(network, unlabelled, f"round{t - 1}")
        chosen = select(confidence.of_images(pseudo), 1.0 if t == cfg.rounds else t * cfg.step)
        log.info("round %d: the %d most confident of %d pseudo-labels", t, len(chosen), len(pseudo))
        network = trainer.new_network(fresh=cfg.student == "fresh")
        trainer.fit(network, [truth, Part(pseudo, sigma=cfg.sigma, rows=chosen)], supervised.step, _stage(cfg, t))
        trainer.report(network, f"round{t}")
    return network


def _stage(cfg: Config, t: int) -> Stage:
    return Stage(name=f"round{t}", epochs=cfg.epochs, decay_at=cfg.decay_at)
