"""Pretraining compared in STLD's Table V: none, MAE ("Masked Autoencoders Are Scalable Vision Learners"), or PP.

    none    network <- its starting weights
    mae     three quarters of each unlabelled crop's patches are hidden; encoder = the network's vision transformer
            L = mean over hidden patches of (decoder's pixels - the patch's normalised pixels)^2
            AdamW, lr = 1.5e-4 batch / 256, beta = (0.9, 0.95), weight decay 0.05, cosine
    pp      network fitted on labelled -> pseudo-labels -> new network fitted on them (STLD's round 1)
    then    network fitted on labelled

Differs from the paper: it names no backbone for this table. Its figures are far below HM-R18's and MAE needs a vision
transformer, so ViT-B/16 under HM's deconvolutions stands here for all three rows. Nor does it name the length and
batch of masked pretraining. Weight decay takes in biases and norms too; the views for masking
take the recipe's geometric augmentation, without its photometric one and occlusion, instead of random resized crops.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from training.augment import config
from training.data.crops import Crops
from training.engine.batch import Batch
from training.engine.fit import Schedule, Stage, Step
from training.engine.train_set import Part
from training.engine.trainer import Trainer
from training.losses.masked_patches import masked_patch_loss
from training.methods import supervised
from training.models import Network, masked_autoencoder
from training.models.masked_autoencoder import MaskedAutoencoder

PLAIN = {
    "p_occlude": 0.0, "p_blur": 0.0, "p_grey": 0.0, "brightness": 0.0, "contrast": 0.0, "saturation": 0.0,
    "noise": 0.0, "operations": 0, "p_cutout": 0.0,
}  # fmt: skip
"""What leaves an augmentation with its geometric part."""


class Config(BaseModel):
    """Pretraining and lengths; the defaults are MAE's for its optimiser and STLD's for the rest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pretraining: Literal["none", "mae", "pp"] = "mae"
    mask: float = Field(default=0.75, gt=0, lt=1)  # share of hidden patches
    decoder_width: int = Field(default=512, gt=0)
    decoder_depth: int = Field(default=8, gt=0)
    decoder_heads: int = Field(default=16, gt=0)
    mae_lr: float = Field(default=1.5e-4, gt=0)  # for 256 images a batch; scales with the batch
    mae_batch: int = Field(default=256, gt=0)
    mae_epochs: int = Field(default=400, ge=1)
    mae_warm_up: float = Field(default=0.05, ge=0, lt=1)  # share of the stage; MAE: 40 of 800 epochs
    pretrain_epochs: int = 60  # of pp
    pretrain_decay_at: tuple[int, ...] = (40, 50)
    sigma: float = 1.5  # width of the target Gaussian, map cells
    epochs: int = 60
    decay_at: tuple[int, ...] = (40, 50)
    oversample: int = 100


def schedule_of(cfg: Config) -> Schedule:
    """MAE's optimiser."""
    return Schedule(
        batch=cfg.mae_batch, lr=cfg.mae_lr * cfg.mae_batch / 256, decay="cosine", warm_up=cfg.mae_warm_up,
        weight_decay=0.05, optimiser="adamw", betas=(0.9, 0.95),
    )  # fmt: skip


def masked_step(view: config.Config, side: int) -> Step:
    """Hide patches of `side` px in a view of each sample, and compare what the autoencoder makes of them."""

    def step(module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        x = batch.view(view).x
        order = torch.rand(len(x), (x.shape[-1] // side) ** 2).argsort(dim=1).to(x.device)
        out, hidden = module(x, order)
        return {"loss": masked_patch_loss(out, x, hidden, side)}

    return step


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops) -> Network:
    """Pretrain as asked, then fine-tune on the labelled crops."""
    truth = Part(labelled, sigma=cfg.sigma, oversample=cfg.oversample)
    network = trainer.new_network()
    if cfg.pretraining == "mae":
        pretrain_masked(cfg, trainer, network, unlabelled)
    if cfg.pretraining == "pp":
        network = pretrain_on_pseudo_labels(cfg, trainer, network, truth, unlabelled)
    trainer.fit(network, [truth], supervised.step, _stage("finetune", cfg.epochs, cfg.decay_at))
    trainer.report(network, "finetune")
    return network


def pretrain_masked(cfg: Config, trainer: Trainer, network: Network, unlabelled: Crops) -> None:
    """Train the network's backbone inside a masked autoencoder, which is then dropped."""
    shape = masked_autoencoder.Config(
        mask=cfg.mask, width=cfg.decoder_width, depth=cfg.decoder_depth, heads=cfg.decoder_heads
    )
    autoencoder = MaskedAutoencoder(network, shape).to(trainer.fabric.device)
    view = trainer.settings.augment.model_copy(update=PLAIN)
    stage = Stage(name="mae", epochs=cfg.mae_epochs)
    step = masked_step(view, autoencoder.side)
    trainer.fit(autoencoder, [Part(unlabelled, pseudo=True)], step, stage, schedule_of(cfg))


def pretrain_on_pseudo_labels(
    cfg: Config, trainer: Trainer, teacher: Network, truth: Part, unlabelled: Crops
) -> Network:
    """STLD's pseudo pretraining in its first round: a new network that has seen every pseudo-label and no true one."""
    trainer.fit(teacher, [truth], supervised.step, _stage("round0", cfg.epochs, cfg.decay_at))
    trainer.report(teacher, "round0")
    pseudo = trainer.pseudo_label(teacher, unlabelled, "round0")
    network = trainer.new_network()
    stage = _stage("pretrain", cfg.pretrain_epochs, cfg.pretrain_decay_at)
    trainer.fit(network, [Part(pseudo, sigma=cfg.sigma)], supervised.step, stage)
    trainer.report(network, "pretrain")
    return network


def _stage(name: str, epochs: int, decay_at: tuple[int, ...]) -> Stage:
    return Stage(name=name, epochs=epochs, decay_at=decay_at)
