"""Active learning: the network chooses which images are annotated (SCAF, Sections 3.2, 4.2 and 4.6).

    L = `initial` images at random                              the pool U: all images given as labelled
    while |L| < budget:
        f = new network, fitted on L                            from scratch, or from --init (a pretrained network)
        order = U without L, by the strategy's value under f, largest first
        drop the first `discard` of the order                   10 % in the paper's NNM_10% and Entropy_10%
        L += the next min(K, budget - |L|) of it
    f = new network, fitted on L

strategy: nnm, entropy, k_center or random (training/selection). K = `step`: 10, 20, 40, 75 and 100 images for budgets
of 50, 100, 200, 375 and 750 on WFLW; 10, 30 and 60 for 50, 158 and 315 on 300-W.

How labels stay hidden: the loop trains on a copy of the pool in which every image outside L is NaN, "not annotated",
and scores another copy without any label, so that neither can see what has not been bought yet. Boxes are not hidden:
the pool's images are cropped by their true boxes, in the paper as here, and the log says so.

The networks of SCAF and 3FabRec begin every round with the same auto-encoder (`autoencoder`, or one pretrained here on
the pool's images, or --init) and are trained as in scaf.py, all layers but the generator at once; a heatmap network
begins with ImageNet's, random or --init's weights and is trained as in supervised.py.

Each round keeps selection/roundR.json (names bought, chosen and dropped, the value of every candidate); an interrupted
run takes its choices from there. selection/labelled.txt names the final set, for `lmdeploy train stld --labelled`.

Differs from the paper: the last step is cut to meet the budget (its steps do not add up to its budgets, all but 50);
a coreset by k_center has no discard.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from lmdeploy.errors import InputError
from training.data.crops import Crops
from training.engine.fit import Stage, seed_of
from training.engine.train_set import Part
from training.engine.trainer import Trainer
from training.methods import fabrec, supervised
from training.methods.pretraining import Pretraining, pretrain
from training.models import Network
from training.models.scaf import Scaf
from training.selection import STRATEGIES, Rule, choose
from training.selection.discard import discard
from training.selection.measures import measure
from training.selection.nnm import SIDE

log = logging.getLogger(__name__)
Rows = tuple[int, ...]  # of the pool


class Config(BaseModel):
    """Strategy, budget and every round's training; defaults: the paper's for 50 images, lengths as in `scaf`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: Literal["nnm", "entropy", "k_center", "random"] = "nnm"
    initial: int = Field(default=10, ge=2)  # |L| of the first round
    budget: int = Field(default=50, ge=2)  # |L| of the last one
    step: int = Field(default=10, ge=1)  # K
    discard: float = Field(default=0.0, ge=0, lt=1)  # share of the candidates dropped first
    window: int = Field(default=SIDE, ge=1)  # side of NNM's window, map cells
    autoencoder: str = ""  # of networks scaf and fabrec: run folder or file with a trained one; empty: train it here
    pretraining: Pretraining = Pretraining()  # of the same
    encoder_lr: float = Field(default=2e-5, gt=0)  # of the same
    sigma: float = 7.0  # width of the target Gaussian, map cells
    epochs: int = Field(default=100, ge=1)
    decay_at: tuple[int, ...] = ()
    oversample: int = 3200  # the labelled list is repeated up to this length

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.budget < self.initial:
            raise ValueError(f"budget {self.budget} is less than the {self.initial} initial images")
        if self.window % 2 == 0:
            raise ValueError(f"window {self.window} has no centre: it must be odd")
        if self.discard > 0 and not STRATEGIES[self.strategy].discards:
            raise ValueError(f"{self.strategy} does not rank by hardness: set discard = 0")
        return self


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops | None) -> Network:
    """The loop above; returns the network fitted on `budget` images of the pool `labelled`."""
    if len(labelled) < cfg.budget:
        raise InputError(f"the pool has {len(labelled)} labelled images, and options.budget asks for {cfg.budget}")
    bought = first_rows(cfg, trainer, len(labelled))
    r, network = 0, fitted(cfg, trainer, labelled, bought, 0)
    while len(bought) < cfg.budget:
        bought += next_rows(cfg, trainer, network, reveal(labelled, ()), bought, r)
        r += 1
        network = fitted(cfg, trainer, labelled, bought, r)
    trainer.once("selection/labelled.txt", lambda: "".join(f"{labelled.names[i]}\n" for i in bought), "")
    return network


def fitted(cfg: Config, trainer: Trainer, pool: Crops, bought: Rows, r: int) -> Network:
    """The network of round r: from its start, trained on the labels bought so far."""
    network, step = trainer.new_network(), supervised.step
    rates = {}
    if isinstance(network, Scaf):
        pretrain(cfg.pretraining, cfg.autoencoder, trainer, network, (reveal(pool, ()),))
        fabrec.freeze(network, encoder=False)
        step, rates = fabrec.step, {"encoder.": cfg.encoder_lr / trainer.settings.schedule.lr}
    stage = Stage(name=f"round{r}", epochs=cfg.epochs, decay_at=cfg.decay_at, rates=rates)
    part = Part(reveal(pool, bought), sigma=cfg.sigma, oversample=cfg.oversample, rows=bought)
    trainer.fit(network, [part], step, stage)
    trainer.report(network, stage.name)
    return network


def reveal(pool: Crops, rows: Rows) -> Crops:
    """The pool with the labels of these rows alone; the others are NaN, as if nobody had annotated them."""
    points = np.full_like(pool.points, np.nan)
    points[list(rows)] = pool.points[list(rows)]
    return pool.with_points(points)


def first_rows(cfg: Config, trainer: Trainer, pool: int) -> Rows:
    """The random start, the same for every strategy."""
    seed = seed_of(trainer.settings.seed, "selection", 0)
    nothing = np.zeros((pool, 1), np.float32)
    return choose(Rule("random", 0.0, seed), nothing, nothing[:0], cfg.initial).chosen


def next_rows(cfg: Config, trainer: Trainer, network: Network, hidden: Crops, bought: Rows, r: int) -> Rows:
    """The rows to annotate after round r, from the run folder where an interrupted run has chosen them already."""
    rest = tuple(sorted(set(range(len(hidden))) - set(bought)))
    count = min(cfg.step, cfg.budget - len(bought))
    # as many rows as a choice has: a run's length is counted beforehand, without a network
    guess = json.dumps({"chosen_rows": discard(rest, cfg.discard)[1][:count]})

    def make() -> str:
        return selection(cfg, trainer, network, hidden, (bought, rest), r)

    return tuple(json.loads(trainer.once(f"selection/round{r}.json", make, guess))["chosen_rows"])


def selection(cfg: Config, trainer: Trainer, network: Network, hidden: Crops, rows: tuple[Rows, Rows], r: int) -> str:
    """Rank the candidates, rows = (bought, rest), and tell all about it as JSON."""
    bought, rest = rows
    if r == 0:
        log.info("boxes: the ground truth of all %d images, whose points are hidden until chosen", len(hidden))
    found = measure(cfg.strategy, network, hidden, trainer.settings.spec.crop.size, cfg.window)
    rule = Rule(cfg.strategy, cfg.discard, seed_of(trainer.settings.seed, "selection", r + 1))
    choice = choose(rule, found[list(rest)], found[list(bought)], min(cfg.step, cfg.budget - len(bought)))
    chosen, dropped = (tuple(rest[i] for i in some) for some in (choice.chosen, choice.dropped))
    names: dict[str, Any] = {
        key: [hidden.names[i] for i in some]
        for key, some in (("labelled", bought), ("chosen", chosen), ("dropped", dropped))
    }
    values = [(float(value), hidden.names[i]) for i, value in zip(rest, choice.value, strict=True)]
    about = {"strategy": cfg.strategy, "discard": cfg.discard, "chosen_rows": chosen, **names}
    return json.dumps(about | {"values": sorted(values, reverse=True)}, indent=1) + "\n"
