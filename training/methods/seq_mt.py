"""Sequential multi-tasking with ELT: Seq-MT, Comm-MT, Heatmap-MT, RCN+ (Honari et al., Eq. 2).

    I, L~, a~   images, landmarks of the S labelled ones, attributes of those that have any
    L(I)        landmarks f32[B,K,2], crop px: soft-argmax of the maps (Seq-MT, RCN+), a linear layer (Comm-MT)
    a(I)        attributes: of the landmarks alone (Seq-MT, RCN+), of a common layer (Comm-MT), of maps (Heatmap-MT)
    T           random small affine map, one for each image

    l_L    = mean over labelled images and landmarks of |L~ - L(I)|^2     Heatmap-MT: -log softmax(map)[cell of L~]
    l_elt  = mean over images and landmarks of |T L(I) - L(T I)|^2        of those without landmarks, or of all
    l_A    = -log P(a~ | I), for a real value |a~ - a(I)|                 of all images, labelled or not
    loss   = lambda l_L + alpha l_elt + attribute l_A

Table 1's variants: L: alpha = attribute = 0; L+A; L+ELT; L+ELT+A. gamma |W|^2 is the schedule's weight_decay. The
gradient of l_elt goes through both passes.

Differs from the paper: distances are in crop px (their unit is not stated; with px and lambda = 1 the attribute's
cross-entropy leads once the landmarks are a pixel or two off); each batch holds as many labelled as unlabelled images
(`mu`) instead of a draw from all, so that few labels are seen in every step; a fixed length instead of early stopping;
optimiser and ranges of T are not stated; the branches may learn faster (`head_rate`).
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
from training.engine.train_set import Part, columns_of
from training.engine.trainer import Trainer
from training.losses.attribute_loss import attribute_loss
from training.losses.elt import Reach, draw_maps, elt_loss, warp_input
from training.losses.source_mean import source_mean
from training.losses.squared_distance import cell_likelihood, squared_distance
from training.models import Network
from training.models.multi_task import MultiTask, with_attributes


class Config(BaseModel):
    """Weights of the losses and lengths."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lambda_l: float = Field(default=1.0, ge=0)  # of l_L; 0: landmarks are learnt from the attributes alone
    attribute: float = Field(default=1.0, ge=0)  # of l_A
    alpha: float = Field(default=1.0, ge=0)  # of l_elt; RCN+ has 0.5
    elt_on: Literal["unlabelled", "all"] = "unlabelled"  # images of l_elt (footnote 2; all on 300W)
    reach: Reach = Reach()
    head_rate: float = Field(default=1.0, gt=0)  # step size of the attribute branches, times the schedule's
    mu: int = Field(default=1, ge=0)  # unlabelled images per labelled one; 0: one shuffled list
    labelled_only: bool = False  # no unlabelled images at all
    epochs: int = 60  # with mu an epoch sees every unlabelled image once
    decay_at: tuple[int, ...] = ()
    oversample: int = 0  # without unlabelled images the labelled list is repeated up to this length


Landmark = Callable[[Tensor, Batch], Tensor]
"""(output of the main head, batch) -> l_L of each landmark f32[B,K]."""


def multi_task_step(cfg: Config, landmark: Landmark, points_of: Callable[[Tensor], Tensor]) -> Step:
    """Losses of one batch; the network sees the images and their warped copies in one pass."""

    def step(module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        count, size = len(batch.x), batch.x.shape[-1]
        rows = elt_rows(batch.pseudo, cfg.elt_on) if cfg.alpha else batch.pseudo.new_zeros(0, dtype=torch.int64)
        maps = draw_maps(len(rows), size, cfg.reach).to(batch.x.device)
        x = torch.cat([batch.x, warp_input(batch.x[rows], maps)]) if len(rows) else batch.x
        main, told = module(x)
        error = landmark(main[:count], batch)
        losses = {"l_l": source_mean(error, batch.visible & ~batch.pseudo.unsqueeze(1))}
        if cfg.alpha:
            points = points_of(main)
            losses["l_elt"] = elt_loss(points[rows], points[count:], maps, size)
        if told and batch.attributes is not None:
            losses["l_a"] = attribute_loss([out[:count] for out in told], batch.attributes)
        weight = {"l_l": cfg.lambda_l, "l_elt": cfg.alpha, "l_a": cfg.attribute}
        total = torch.stack([weight[name] * value for name, value in losses.items()]).sum()
        return {"loss": total, **losses}

    return step


def elt_rows(pseudo: Tensor, on: Literal["unlabelled", "all"]) -> Tensor:
    """Rows i64[R] of a batch that ELT is asked of; pseudo bool[B]."""
    return pseudo.nonzero().squeeze(1) if on == "unlabelled" else torch.arange(len(pseudo), device=pseudo.device)


def landmark_of(codec: str, stride: int) -> Landmark:
    """l_L as the codec's paper has it: likelihood of a cell for `pixel`, squared distance for the others."""
    if codec == "pixel":
        return lambda main, batch: cell_likelihood(main, batch.points, stride)
    return lambda main, batch: squared_distance(soft_points(main, codec, stride), batch.points)


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops | None) -> Network:
    """One stage over labelled and unlabelled images; the attribute branches are dropped at its end."""
    network = trainer.new_network()
    more = None if cfg.labelled_only else unlabelled
    parts = [Part(labelled, oversample=0 if more is not None and cfg.mu else cfg.oversample)]
    if more is not None:
        parts.append(Part(more, pseudo=True))
    columns = columns_of([part.crops for part in parts]) if cfg.attribute else ()
    module: MultiTask = with_attributes(network, columns, trainer.settings.seed).to(trainer.fabric.device)
    codec, size = trainer.settings.spec.codec, trainer.settings.spec.crop.size
    stride = network.cfg.unit(size)
    step = multi_task_step(cfg, landmark_of(codec, stride), lambda main: soft_points(main, codec, stride))
    mu = cfg.mu if more is not None else 0
    stage = Stage(
        name="seq_mt",
        epochs=cfg.epochs,
        decay_at=cfg.decay_at,
        mu=mu,
        rates={"head.": cfg.head_rate} if columns else {},
    )
    trainer.fit(module, parts, step, stage)
    trainer.report(network, "seq_mt")
    return network
