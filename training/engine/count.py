"""Walks through a method's stages without training, to know how long they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from lmdeploy.types import U8
from training.data.crops import Crops
from training.engine import processes
from training.engine.fit import Schedule, Stage, Step
from training.engine.map_labels import MapsOf
from training.engine.predictor import predict_crops
from training.engine.progress import Length
from training.engine.pseudo_labels import Quality
from training.engine.sampler import batches
from training.engine.train_set import F16, Part, TrainSet
from training.engine.trainer import Predict, Trainer, focused
from training.models import Network

Train = Callable[[Any, Any, Crops, Crops | None], Network]


class Counter:
    """Stands in for the trainer: notes every stage's length, and answers with empty pseudo-labels of full score."""

    def __init__(self, trainer: Trainer) -> None:
        """Share the trainer's settings and its way to make networks."""
        self.settings, self.starts_from_init = trainer.settings, trainer.starts_from_init
        self.new_network, self.drawer, self.fabric, self.run = (
            trainer.new_network, trainer.drawer, trainer.fabric, trainer.run
        )  # fmt: skip
        self.lengths: list[Length] = []

    def fit(
        self, network: nn.Module, parts: list[Part], step: Step, stage: Stage, schedule: Schedule | None = None
    ) -> None:
        """Note the stage."""
        size, world = (schedule or self.settings.schedule).batch, processes.share().world
        rows = batches(TrainSet(parts).lengths, size, stage.mu, torch.Generator().manual_seed(0), world)
        self.lengths.append(Length(stage.name, stage.epochs, sum(len(batch) for batch in rows)))

    def pseudo_label(
        self,
        network: Network,
        crops: Crops,
        round_name: str,
        predict: Predict = predict_crops,
        quality: Quality | None = None,
    ) -> Crops:
        """Labels in the middle of every crop, all of the same quality."""
        centre = np.full_like(crops.points, crops.images.shape[1] / 2)
        labelled = crops.with_points(centre, np.ones_like(centre[..., 0]))
        return replace(labelled, quality=None if quality is None else np.zeros(len(crops), np.float32))

    def map_labels(self, maps_of: MapsOf, crops: Crops, rows: tuple[int, ...]) -> F16:
        """Empty maps of one cell."""
        return np.zeros((len(rows), 1, 1, 1), np.float16)

    def keep_chosen(self, labelled: Crops, rows: tuple[int, ...], round_name: str) -> None:
        """Note nothing."""

    def picture(self, name: str, image: U8) -> None:
        """Keep nothing."""

    def once(self, name: str, make: Callable[[], str], guess: str) -> str:
        """The guess."""
        return guess

    def focus(self, network: Network) -> Network:
        """The network of the target's branch alone."""
        small, self.settings = focused(self.settings, network)
        return small

    def report(self, network: Network, name: str) -> None:
        """Measure nothing."""


def count(train: Train, config: Any, trainer: Trainer, labelled: Crops, unlabelled: Crops | None) -> Counter:
    """The counter after a walk through train(config, trainer, labelled, unlabelled)."""
    counter = Counter(trainer)
    train(config, counter, labelled, unlabelled)
    return counter
