"""Supervised training on the labelled images alone: round 0 of every self-training method.

    x, y    labelled crops, landmarks in crop px
    y*      HM: Gaussian of y, sigma map cells, peak 1; TF: y in crop widths
    loss    mean over annotated landmarks of |main(x) - y*|^2 (HM), |main(x) - y*| (TF)

Differs from the paper: none (STLD's round 0, IV-C).
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from training.data.crops import Crops
from training.engine.batch import Batch
from training.engine.fit import Stage
from training.engine.train_set import Part
from training.engine.trainer import Trainer
from training.losses.landmark_error import landmark_error
from training.losses.source_mean import source_mean
from training.models import Network


class Config(BaseModel):
    """Length of the training; the defaults are STLD's for HM."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sigma: float = 1.5  # width of the target Gaussian, map cells
    epochs: int = 60
    decay_at: tuple[int, ...] = (40, 50)  # epochs at which lr falls to a tenth
    oversample: int = 100  # the labelled list is repeated up to this length


def step(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Loss of one batch on the main head; every sample counts as labelled."""
    main, _ = network(batch.x)
    return {"loss": source_mean(landmark_error(main, batch.target, batch.p), batch.visible)}


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops | None) -> Network:
    """One stage on the labelled crops; the unlabelled ones are not used."""
    network = trainer.new_network()
    parts = [Part(labelled, sigma=cfg.sigma, oversample=cfg.oversample)]
    trainer.fit(network, parts, step, Stage(name="supervised", epochs=cfg.epochs, decay_at=cfg.decay_at))
    trainer.report(network, "supervised")
    return network
