"""Brute-force SepBN: every sample through the batch norms of its own domain (Section III-A, Table II).

    domain  = nearest of three centres of k-means over the labelled shapes, freed of place, size and turn
    loss    = mean |main(x; batch norms of the sample's domain) - y| as in supervised training
    test    every picture through all three; the paper keeps the best result of each, which only labels can tell

Differs from the paper: it splits AFLW by a t-SNE picture; a view's domain is found again from its own points, so that
a mirrored left profile counts as a right one. The trained network answers with the batch norms of the largest domain;
rounds `domain0` to `domain2` are those of each domain on the whole test set, and `best_of` gives the paper's figure.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lmdeploy.errors import InputError
from training.data import domains
from training.data.crops import Crops
from training.engine.batch import Batch
from training.engine.fit import Stage, Step
from training.engine.train_set import Part
from training.engine.trainer import Trainer
from training.methods import supervised
from training.models import Network
from training.models.sepbn import BruteForce, route


class Config(supervised.Config):
    """Length of the training, as in supervised."""


def routed_step(centres: Tensor) -> Step:
    """Supervised training's step, each row in its own domain; centres f32[M,K,2] of domains.fit."""

    def step(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        whole = torch.where(batch.visible.unsqueeze(-1), batch.points, float("nan"))
        route(network, domains.of(whole, centres.to(whole.device)))
        try:
            return supervised.step(network, batch)
        finally:
            route(network, 0)

    return step


def best_of(errors: Tensor) -> Tensor:
    """The paper's way to test: the least error f32[N] of each picture over errors f32[M,N] of the M domains."""
    return errors.amin(dim=0)


def train(cfg: Config, trainer: Trainer, labelled: Crops, unlabelled: Crops | None) -> Network:
    """One stage on the labelled crops, then a report of every domain's batch norms; the unlabelled are not used."""
    network = trainer.new_network()
    branches = [module for module in network.modules() if isinstance(module, BruteForce)]
    if not branches:
        raise InputError("brute_force trains separate batch norms: set network.sepbn = { attention = 'brute_force' }")
    count = len(branches[0].norms)
    centres = domains.fit(torch.from_numpy(labelled.points.copy()), count)
    parts = [Part(labelled, sigma=cfg.sigma, oversample=cfg.oversample)]
    stage = Stage(name="supervised", epochs=cfg.epochs, decay_at=cfg.decay_at)
    trainer.fit(network, parts, routed_step(centres), stage)
    for k in reversed(range(count)):
        route(network, k)
        trainer.report(network, f"domain{k}")
    return network
