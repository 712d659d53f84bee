"""DST, debiased self-training, on heatmaps (Chen et al. 2022; a rival of STLD, Table I).

    x, y        labelled crops and their landmarks         u       unlabelled crops, mu for each labelled one
    q, c        points and confidence of main(weak(u))     no gradient; c = mean over landmarks of the map's peak
    q'          q carried to the strong view
    l_s         squared error of main(x) against the Gaussian of y
    l_strong    the same on strong(x)
    l_u         squared error of pseudo(strong(u)) against the Gaussian of q', mean over the images with c >= tau
    l_worst   = eta' right(worst(x), main(x)) + wrong(worst(weak(u)), main(weak(u)))
    loss      = l_s + lambda_strong l_strong + lambda_u l_u + eta l_worst

Self-training of FixMatch with the label's maker and the label's pupil apart: the main head makes pseudo-labels and is
trained on true ones only, the pseudo head is trained on pseudo-labels. The worst head agrees with the main one on
labelled images and contradicts it on unlabelled ones (losses/worst_case.py); between it and the trunk the gradient is
reversed, with a coefficient that grows from 0 to `reversal` over the first `reversal_steps` steps, so the trunk learns
features on which no such head is possible. The main head alone predicts. STLD's auxiliary head is the same decoupling.

weak, strong and tau are FixMatch's. Batch norm: the labelled, strong and weak images go through the network as one
batch and share its statistics; for the pseudo-labels the weak ones are answered with the running statistics.

Differs from the paper: landmarks for classes, squared error of maps for cross-entropy except in l_worst, where a
map's cells are the classes and both terms are means over cells; tau = 0.4 for 0.7 and mu = 1 for 7, as in fixmatch;
the reversal grows linearly; the optimiser is the recipe's. Only heatmap networks, as in fixmatch.
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from training.augment import config
from training.augment.strong import Strong, strong_of, weak_of
from training.data.crops import Crops
from training.engine.batch import Batch
from training.engine.fit import Stage, Step
from training.engine.online import OnlineLabels, maps_only, streams_of
from training.engine.streams import split
from training.engine.trainer import Trainer
from training.losses.landmark_error import landmark_error
from training.losses.source_mean import SourceNorm, source_mean
from training.losses.worst_case import cell_of, right, wrong
from training.models import Network
from training.models.debiased import Debiased


class Config(BaseModel):
    """Threshold, views, heads, weights and lengths."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tau: float = 0.4  # least confidence of an image, mean heatmap peak in [0, 1]
    mu: int = Field(default=1, ge=1)  # unlabelled images per labelled one
    norm: SourceNorm = "per_source"  # l_u: mean over the kept images, or over all ("batch")
    strong: Strong = Strong()  # on top of the recipe's augmentation
    lambda_u: float = Field(default=1.0, ge=0)  # weight of the pseudo head's loss
    lambda_strong: float = Field(default=0.1, ge=0)  # weight of the labelled images' strong views
    eta: float = Field(default=1.0, ge=0)  # weight of l_worst
    eta_prime: float = Field(default=2.0, ge=0)  # weight of the labelled images in it
    temperature: float = Field(default=1.0, gt=0)  # of the softmax over cells
    reversal: float = Field(default=0.1, ge=0)  # last coefficient of the gradient reversal
    reversal_steps: int = Field(default=1000, ge=1)  # steps in which it grows from 0
    sigma: float = 1.5  # width of every target's Gaussian, map cells
    epochs: int = 60  # an epoch sees every unlabelled image once
    decay_at: tuple[int, ...] = (40, 50)
    oversample: int = 100  # the unlabelled list is repeated up to this length


def coefficient_of(cfg: Config, step: int) -> float:
    """Of the gradient reversal in optimiser step 0, 1, ..."""
    return cfg.reversal * min(step / cfg.reversal_steps, 1.0)


def worst_loss(cfg: Config, known: tuple[Tensor, Tensor, Tensor], unknown: tuple[Tensor, Tensor]) -> Tensor:
    """l_worst.

    Args:
        cfg: eta_prime and temperature.
        known: of labelled images, maps f32[B,K,h,w] of the worst and of the main head, and visible bool[B,K].
        unknown: of unlabelled images, maps of both heads.
    """
    agrees = right(known[0], cell_of(known[1]), cfg.temperature)
    differs = wrong(unknown[0], cell_of(unknown[1]), cfg.temperature)
    return cfg.eta_prime * source_mean(agrees, known[2]) + source_mean(differs, torch.ones_like(differs).bool())


def dst_step(cfg: Config, labels: OnlineLabels, augment: config.Config) -> Step:
    """Losses of one batch of both streams; `kept` is the share of the unlabelled images with c >= tau."""
    weak, strong = weak_of(augment), strong_of(augment, cfg.strong)

    def step(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        known, u = split(batch, cfg.mu)
        u_weak, (known_strong, u_strong) = u.view(weak), split(batch.view(strong), cfg.mu)
        found = labels.of(network, u_weak)
        target = labels.target(found.points, u_weak, u_strong, cfg.sigma)
        views = [known.x, known_strong.x, u_strong.x, u_weak.x]
        outs = network(torch.cat(views), coefficient_of(cfg, batch.step))
        main, pseudo, worst = (torch.split(maps, [len(x) for x in views]) for maps in outs)
        e_u = landmark_error(pseudo[2], target, u.p)
        keep = found.conf >= cfg.tau
        losses = {
            "l_s": source_mean(landmark_error(main[0], known.target, known.p), known.visible),
            "l_strong": source_mean(landmark_error(main[1], known_strong.target, known.p), known_strong.visible),
            "l_u": source_mean(e_u, keep.unsqueeze(1).expand_as(e_u), cfg.norm),
            "l_worst": worst_loss(cfg, (worst[0], main[0], known.visible), (worst[3], found.maps)),
        }
        weights = {"l_s": 1.0, "l_strong": cfg.lambda_strong, "l_u": cfg.lambda_u, "l_worst": cfg.eta}
        loss = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        return {"loss": loss, **losses, "kept": keep.float().mean()}

    return step


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops) -> Network:
    """One stage over both streams; returns the network without the further heads."""
    network = maps_only(trainer.new_network(), "dst")
    module = Debiased(network, trainer.settings.spec.landmarks.points)
    module.to(trainer.fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    parts = streams_of(cfg.sigma, cfg.oversample, labelled, unlabelled)
    labels = OnlineLabels(trainer.drawer(parts), trainer.settings.spec.codec)
    stage = Stage(name="dst", epochs=cfg.epochs, decay_at=cfg.decay_at, mu=cfg.mu)
    trainer.fit(module, parts, dst_step(cfg, labels, trainer.settings.augment), stage)
    trainer.report(network, "dst")
    return network
