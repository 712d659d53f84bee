"""The trainer: what every method needs from the machine, so that a method's file holds only its algorithm."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import nn

from lmdeploy.atomic import write_file
from lmdeploy.bundle import ModelSpec
from lmdeploy.errors import InputError
from lmdeploy.types import Prediction
from training.augment import config
from training.data.crops import Crops, labels_csv
from training.engine import checkpoint, metrics_log
from training.engine.batch import Drawer
from training.engine.fit import Plan, Schedule, Stage, Step, fit, make_optimiser
from training.engine.predictor import predict_crops
from training.engine.train_set import Part, TrainSet
from training.models import Network, NetworkConfig, build, stride_of

Report = Callable[[Network, str], None]
Predict = Callable[[Network, ModelSpec, Crops, torch.device], Prediction]
"""(network, spec, crops, device) -> points in cache px and their scores."""


@dataclass(frozen=True)
class Settings:
    """What all stages of a run share."""

    spec: ModelSpec
    network: NetworkConfig
    schedule: Schedule
    augment: config.Config
    seed: int


class Trainer:
    """Holds the device, the run folder and the starting weights of one run."""

    def __init__(self, settings: Settings, run: Path, fabric: Fabric, init: Path | None, report: Report) -> None:
        """Open a run folder; stages that it already holds are not trained again."""
        self.settings, self.run, self.fabric, self.report = settings, run, fabric, report
        self._init = checkpoint.read(init).weights if init else None
        self.starts_from_init = init is not None

    def new_network(self, fresh: bool = False) -> Network:
        """A network with the starting weights: --init, ImageNet, or random ones drawn from the seed.

        fresh: leave --init aside.
        """
        torch.manual_seed(self.settings.seed)
        network = build(self.settings.network, self.settings.spec.landmarks.points)
        if self._init is not None and not fresh:
            try:
                network.load_state_dict(self._init)
            except RuntimeError as error:
                raise InputError(f"--init does not fit the recipe's network: {str(error).splitlines()[-1]}") from error
        return network.to(self.fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def fit(
        self, network: nn.Module, parts: list[Part], step: Step, stage: Stage, schedule: Schedule | None = None
    ) -> None:
        """Train `network` (or a module around one) in place for one stage, from where an interrupted run left it.

        A stage that is finished in the run folder only loads its weights. schedule: another than the run's.
        """
        file = self.run / "stages" / f"{stage.name}.safetensors"
        schedule = schedule or self.settings.schedule
        plain = make_optimiser(network, schedule)
        start = 0
        if file.is_file():
            saved = checkpoint.read(file)
            network.load_state_dict(saved.weights)
            if saved.about.done:
                return
            checkpoint.restore_optimiser(plain, saved.optimiser)
            start = saved.about.epoch
        log = metrics_log.MetricsLog(self.run / "metrics.csv", stage.name, start)
        module, optimiser = self.fabric.setup(network, plain)

        def epoch_end(epoch: int, values: dict[str, float]) -> None:
            log.add(epoch, values)
            done = epoch == stage.epochs
            if done or log.seconds_since_save() > metrics_log.SAVE_EVERY_S:
                checkpoint.write(file, network, self.about(epoch, done), None if done else plain)
                log.saved()

        drawer = self.drawer(parts)
        plan = Plan(stage=stage, schedule=schedule, seed=self.settings.seed, start=start, epoch_end=epoch_end)
        fit(self.fabric, module, optimiser, drawer, step, plan)

    def drawer(self, parts: list[Part]) -> Drawer:
        """What turns rows of the parts into batches."""
        cfg, spec = self.settings.network, self.settings.spec
        return Drawer(TrainSet(parts), spec, stride_of(cfg, spec.crop.size), self.settings.augment, self.fabric.device)

    def pseudo_label(self, network: Network, crops: Crops, round_name: str, predict: Predict = predict_crops) -> Crops:
        """The crops with the network's own labels and scores; kept in the run folder with round, teacher and seed."""
        network.eval()
        found = predict(network, self.settings.spec, crops, self.fabric.device)
        labelled = crops.with_points(found.points, found.score)
        labels = labels_csv(crops.names, labelled.points_frame(found.points), found.score).encode()
        state = b"".join(value.cpu().numpy().tobytes() for value in network.state_dict().values())
        about = {
            "images": len(crops),
            "labels_sha256": hashlib.sha256(labels).hexdigest(),
            "round": round_name,
            "seed": self.settings.seed,
            "teacher_sha256": hashlib.sha256(state).hexdigest(),
        }
        folder = self.run / "pseudo" / round_name
        write_file(folder / "landmarks.csv", labels)
        write_file(folder / "about.json", (json.dumps(about, indent=1) + "\n").encode())
        return labelled

    def finish(self, network: Network) -> Path:
        """Write the run's final checkpoint."""
        file = self.run / "model.safetensors"
        checkpoint.write(file, network, self.about(0, done=True))
        return file

    def about(self, epoch: int, done: bool) -> checkpoint.About:
        """Header of a checkpoint of this run."""
        return checkpoint.About(spec=self.settings.spec, network=self.settings.network, epoch=epoch, done=done)
