"""`lmdeploy train --dry-run`: times a few steps of the real network and counts the stages' steps."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from lmdeploy.resident import peak_mb
from training import job
from training.engine.count import count
from training.engine.fit import make_optimiser
from training.engine.train_set import Part
from training.methods import METHODS, supervised
from training.models import count_parameters

STEPS = 6


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would take on this machine."""

    image_steps: int
    images_per_s: float
    peak_mb: float
    parameters: int
    devices: int = 1

    def sentence(self) -> str:
        """One line for people."""
        minutes = self.image_steps / self.images_per_s / 60 / self.devices
        shared = "" if self.devices == 1 else f" on each of {self.devices} devices, if none waits for another"
        return (
            f"{self.parameters:,} parameters, {self.image_steps:,} image-steps at {self.images_per_s:.0f} images/s"
            f"{shared}: about {minutes:.1f} min, peak memory {self.peak_mb:.0f} MB"
        )


def estimate(request: job.Request) -> Estimate:
    """Prepare the run in a temporary folder and time STEPS steps after two of warm-up."""
    with tempfile.TemporaryDirectory() as folder:
        ready = job.prepare(dataclasses.replace(request, out=Path(folder), evaluate=None, devices=None))
        config, train = request.recipe.method_config(), METHODS[request.recipe.method].train
        counter = count(train, config, ready.trainer, ready.labelled, ready.unlabelled)
        steps = sum(length.epochs * length.images for length in counter.lengths)
        parameters = count_parameters(ready.trainer.new_network())
        speed = _images_per_s(ready)
        return Estimate(steps, speed, peak_mb(), parameters, request.devices or 1)


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
