"""`lmdeploy train --dry-run`: times a few steps of the real network and counts the stages' steps."""

from __future__ import annotations

import dataclasses
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from training import job
from training.data.crops import Crops
from training.engine.fit import Schedule, Stage, Step, make_optimiser
from training.engine.predictor import predict_crops
from training.engine.sampler import batches
from training.engine.train_set import Part, TrainSet
from training.engine.trainer import Predict, Trainer
from training.methods import METHODS, supervised
from training.models import Network, count_parameters

STEPS = 6


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would take on this machine."""

    image_steps: int
    images_per_s: float
    peak_mb: float
    parameters: int

    def sentence(self) -> str:
        """One line for people."""
        minutes = self.image_steps / self.images_per_s / 60
        return (
            f"{self.parameters:,} parameters, {self.image_steps:,} image-steps at {self.images_per_s:.0f} images/s: "
            f"about {minutes:.1f} min, peak memory {self.peak_mb:.0f} MB"
        )


class _Counter:
    """Stands in for the trainer: walks through a method's stages and counts instead of training."""

    def __init__(self, trainer: Trainer) -> None:
        self.settings, self.starts_from_init = trainer.settings, trainer.starts_from_init
        self.new_network = trainer.new_network
        self.steps = 0

    def fit(
        self, network: nn.Module, parts: list[Part], step: Step, stage: Stage, schedule: Schedule | None = None
    ) -> None:
        lengths = TrainSet(parts).lengths
        rows = batches(lengths, self.settings.schedule.batch, stage.mu, torch.Generator())
        self.steps += stage.epochs * sum(len(batch) for batch in rows)

    def pseudo_label(self, network: Network, crops: Crops, round_name: str, predict: Predict = predict_crops) -> Crops:
        centre = np.full_like(crops.points, crops.images.shape[1] / 2)
        return crops.with_points(centre, np.ones_like(centre[..., 0]))

    def report(self, network: Network, name: str) -> None:
        pass


def estimate(request: job.Request) -> Estimate:
    """Prepare the run in a temporary folder and time STEPS steps after two of warm-up."""
    with tempfile.TemporaryDirectory() as folder:
        ready = job.prepare(dataclasses.replace(request, out=Path(folder), evaluate=None))
        counter = _Counter(ready.trainer)
        method = METHODS[request.recipe.method]
        network = method.train(request.recipe.method_config(), counter, ready.labelled, ready.unlabelled)
        speed = _images_per_s(ready)
        scale = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in KiB elsewhere
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6
        return Estimate(counter.steps, speed, peak_mb, count_parameters(network))


def _images_per_s(ready: job.Prepared) -> float:
    """Images per second of the supervised step on as many labelled images as STEPS batches hold."""
    trainer, times = ready.trainer, []
    batch = trainer.settings.schedule.batch
    part = Part(ready.labelled, oversample=STEPS * batch)
    network = trainer.new_network()
    plain = make_optimiser(network, trainer.settings.schedule)
    module, optimiser = trainer.fabric.setup(network, plain)
    drawer = trainer.drawer([part])
    draw = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        start = time.perf_counter()
        rows = torch.randint(len(drawer.data), (batch,), generator=draw)
        trainer.fabric.backward(supervised.step(module, drawer.draw(rows, draw))["loss"])
        optimiser.step()
        times.append(time.perf_counter() - start)
    return batch / float(np.median(times[2:]))
