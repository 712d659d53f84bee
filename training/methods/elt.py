"""Equivariant landmark transformation as a loss beside any network's own (Honari et al., Section 3 and Eq. 2).

    x, y     labelled crops and landmarks        u       unlabelled crops, mu for each labelled one
    L(I)     the network's landmarks of I, crop widths: its own decoding where that has a gradient, else soft-argmax
    T        random small affine map, one for each image

    l_s    = the network's supervised error: squared error of maps (HM), |main - y| (TF), squared distance in crop
             widths (soft-argmax networks, Comm-MT), likelihood of the landmark's cell (Heatmap-MT, RCN)
    l_elt  = mean over images and landmarks of |T L(I) - L(T I)|^2, gradient through both passes
    loss   = l_s + alpha l_elt

The network sees the images and their warped copies in one pass, so batch norm takes both into its statistics.

Differs from the paper: any network and its own supervised loss; distances in crop widths, the scale of those losses;
maps that are decoded by argmax are read by soft-argmax with beta = 30 for l_elt; ranges of T are not stated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from training.codec.soft_points import soft_points
from training.data.crops import Crops
from training.engine.batch import Batch
from training.engine.fit import Stage, Step
from training.engine.train_set import Part
from training.engine.trainer import Trainer
from training.losses.elt import Reach, draw_maps, elt_loss, warp_input
from training.losses.landmark_error import landmark_error
from training.losses.source_mean import source_mean
from training.methods.seq_mt import elt_rows, landmark_of
from training.models import Network

On = Literal["unlabelled", "all"]
Error = Callable[[Tensor, Batch], Tensor]
"""(main head's output, batch) -> error of each landmark f32[B,K]."""


class Config(BaseModel):
    """Weight and images of ELT, lengths."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: float = Field(default=1.0, ge=0)  # weight of l_elt
    elt_on: On = "all"  # images of l_elt: the paper takes all on 300W, else those without landmarks
    reach: Reach = Reach()
    mu: int = Field(default=1, ge=0)  # unlabelled images per labelled one; 0: one shuffled list
    sigma: float = 1.5  # HM: width of the target Gaussian, map cells
    epochs: int = 60  # with mu an epoch sees every unlabelled image once
    decay_at: tuple[int, ...] = (40, 50)
    oversample: int = 0  # mu > 0: the unlabelled list is repeated up to this length, else the labelled one


def elt_step(cfg: Config, error: Error, points_of: Callable[[Tensor], Tensor]) -> Step:
    """Losses of one batch."""

    def step(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        count, size = len(batch.x), batch.x.shape[-1]
        rows = elt_rows(batch.pseudo, cfg.elt_on)
        maps = draw_maps(len(rows), size, cfg.reach).to(batch.x.device)
        x = torch.cat([batch.x, warp_input(batch.x[rows], maps)]) if cfg.alpha else batch.x
        main, *_ = network(x)
        l_s = source_mean(error(main[:count], batch), batch.visible & ~batch.pseudo.unsqueeze(1))
        if not cfg.alpha:
            return {"loss": l_s, "l_s": l_s}
        points = points_of(main)
        l_elt = elt_loss(points[:count][rows], points[count:], maps, size) / size**2
        return {"loss": l_s + cfg.alpha * l_elt, "l_s": l_s, "l_elt": l_elt}

    return step


def with_elt(step: Step, alpha: float, points_of: Callable[[Tensor], Tensor], on: On = "all") -> Step:
    """Another method's step with alpha l_elt added, for which the network sees the images once more."""

    def both(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        losses = step(network, batch)
        seen = batch.x[elt_rows(batch.pseudo, on)]
        maps = draw_maps(len(seen), seen.shape[-1], Reach()).to(seen.device)
        main, *_ = network(torch.cat([seen, warp_input(seen, maps)]))
        points = points_of(main)
        l_elt = elt_loss(points[: len(seen)], points[len(seen) :], maps, seen.shape[-1]) / seen.shape[-1] ** 2
        return {**losses, "loss": losses["loss"] + alpha * l_elt, "l_elt": l_elt}

    return both


def points_by(trainer: Trainer, network: Network) -> Callable[[Tensor], Tensor]:
    """What reads points f32[B,K,2] (crop px) with a gradient from the network's main output."""
    codec, stride = trainer.settings.spec.codec, network.cfg.unit(trainer.settings.spec.crop.size)
    return lambda main: soft_points(main, codec, stride)


def error_of(codec: str, stride: int, size: int) -> Error:
    """The supervised error that belongs to a codec, on the scale of crop widths."""
    if codec not in ("softargmax", "pixel", "point"):
        return lambda main, batch: landmark_error(main, batch.target, batch.p)
    landmark, scale = landmark_of(codec, stride), 1.0 if codec == "pixel" else size**-2.0
    return lambda main, batch: scale * landmark(main, batch)


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops) -> Network:
    """One stage over labelled and unlabelled images."""
    network = trainer.new_network()
    length = cfg.oversample if cfg.mu else 0
    parts = [
        Part(labelled, sigma=cfg.sigma, oversample=0 if cfg.mu else cfg.oversample),
        Part(unlabelled, pseudo=True, sigma=cfg.sigma, oversample=length),
    ]
    spec = trainer.settings.spec
    error = error_of(spec.codec, network.cfg.unit(spec.crop.size), spec.crop.size)
    step = elt_step(cfg, error, points_by(trainer, network))
    trainer.fit(network, parts, step, Stage(name="elt", epochs=cfg.epochs, decay_at=cfg.decay_at, mu=cfg.mu))
    trainer.report(network, "elt")
    return network
