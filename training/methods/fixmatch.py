"""FixMatch carried over to heatmaps (Sohn et al. 2020, Alg. 1; a rival of STLD, Table I).

    x, y        labelled crops and their landmarks         u       unlabelled crops, mu for each labelled one
    q, c        points and confidence of main(weak(u))     no gradient; c = mean over landmarks of the map's peak
    q'          q carried to the strong view through both views' matrices and flips
    l_s         squared error of main(x) against the Gaussian of y
    l_u         squared error of main(strong(u)) against the Gaussian of q', mean over the images with c >= tau
    loss      = l_s + lambda_u l_u

weak: flip and translation. strong: the recipe's whole augmentation, RandAugment's colour operations and cutout.
Batch norm: the labelled and the strong images go through the network as one batch and share its statistics; the weak
ones are answered with the running statistics and do not move them.

Differs from the paper: landmarks for classes, squared error of maps for cross-entropy, the peak for the largest
softmax value; tau = 0.4, the threshold that STLD names on this scale (Fig. 2), for 0.95; mu = 1 for 7, so that a run
costs what the other methods' do; l_u is the mean over the kept images, not over all (`norm = "batch"`: over all); the
optimiser is the recipe's; the averaged weights (`ema`, 0.999 in the paper) are off by default. Only heatmap networks:
a coordinate network's one confidence is how far its two heads agree, and nothing trains the second one here.
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from training.augment import config
from training.augment.strong import Strong, strong_of, weak_of
from training.data.crops import Crops
from training.engine.average import Averaged
from training.engine.batch import Batch
from training.engine.fit import Stage, Step
from training.engine.online import OnlineLabels, maps_only, streams_of
from training.engine.streams import split
from training.engine.trainer import Trainer
from training.losses.landmark_error import landmark_error
from training.losses.source_mean import SourceNorm, source_mean
from training.models import Network


class Config(BaseModel):
    """Threshold, weights and lengths."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tau: float = 0.4  # least confidence of an image, mean heatmap peak in [0, 1]
    lambda_u: float = Field(default=1.0, ge=0)  # weight of the unlabelled loss
    mu: int = Field(default=1, ge=1)  # unlabelled images per labelled one
    norm: SourceNorm = "per_source"  # l_u: mean over the kept images, or over all ("batch")
    strong: Strong = Strong()  # on top of the recipe's augmentation
    ema: float = Field(default=0.0, ge=0, lt=1)  # decay of the averaged weights; 0: the last weights are the result
    sigma: float = 1.5  # width of every target's Gaussian, map cells
    epochs: int = 60  # an epoch sees every unlabelled image once
    decay_at: tuple[int, ...] = (40, 50)
    oversample: int = 100  # the unlabelled list is repeated up to this length


def fixmatch_step(cfg: Config, labels: OnlineLabels, augment: config.Config) -> Step:
    """Losses of one batch of both streams; `kept` is the share of the unlabelled images with c >= tau."""
    weak, strong = weak_of(augment), strong_of(augment, cfg.strong)

    def step(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        known, u = split(batch, cfg.mu)
        u_weak, u_strong = u.view(weak), u.view(strong)
        found = labels.of(network, u_weak)
        target = labels.target(found.points, u_weak, u_strong, cfg.sigma)
        main, _ = network(torch.cat([known.x, u_strong.x]))
        error = landmark_error(main, torch.cat([known.target, target]), batch.p)
        e_u = error[len(known.x) :]
        keep = found.conf >= cfg.tau
        l_s = source_mean(error[: len(known.x)], known.visible)
        l_u = source_mean(e_u, keep.unsqueeze(1).expand_as(e_u), cfg.norm)
        return {"loss": l_s + cfg.lambda_u * l_u, "l_s": l_s, "l_u": l_u, "kept": keep.float().mean()}

    return step


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops) -> Network:
    """One stage over both streams; returns the network, or its average."""
    network = maps_only(trainer.new_network(), "fixmatch")
    parts = streams_of(cfg.sigma, cfg.oversample, labelled, unlabelled)
    labels = OnlineLabels(trainer.drawer(parts), trainer.settings.spec.codec)
    step = fixmatch_step(cfg, labels, trainer.settings.augment)
    stage = Stage(name="fixmatch", epochs=cfg.epochs, decay_at=cfg.decay_at, mu=cfg.mu)
    if cfg.ema > 0:
        averaged = Averaged(network, cfg.ema)
        trainer.fit(averaged, parts, averaging(step, averaged), stage)
        averaged.update()  # the stage's last optimiser step
        network = maps_only(averaged.average, "fixmatch")
    else:
        trainer.fit(network, parts, step, stage)
    trainer.report(network, "fixmatch")
    return network


def averaging(step: Step, averaged: Averaged) -> Step:
    """The step, with the average taking in the result of the optimiser step before it."""

    def both(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        if batch.step > 0:
            averaged.update()
        return step(network, batch)

    return both
