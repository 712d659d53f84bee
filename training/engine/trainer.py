"""The trainer: what every method needs from the machine, so that a method's file holds only its algorithm."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import nn

from lmdeploy.atomic import write_file
from lmdeploy.bundle import ModelSpec
from lmdeploy.errors import InputError
from lmdeploy.parts import one_part
from lmdeploy.types import U8
from training.augment import config
from training.data.crops import Crops
from training.engine import checkpoint, metrics_log, plateau, processes, rounds
from training.engine.batch import Drawer
from training.engine.board import Board
from training.engine.devices import compiled, share_norms
from training.engine.fit import EpochEnd, Plan, Schedule, Stage, Step, fit, make_optimiser
from training.engine.map_labels import MapsOf, predict_maps
from training.engine.predictor import predict_crops
from training.engine.progress import RunProgress
from training.engine.pseudo_labels import Predict, Quality, jpeg, judged, keep, keep_chosen, picture, predict_shared
from training.engine.train_set import F16, Part, TrainSet
from training.models import Network, NetworkConfig, build
from training.models.narrow import narrow

__all__ = ["Predict", "Report", "Settings", "Trainer"]

Report = Callable[[Network, str, ModelSpec], None]
"""(network, name of the round, what the network is)."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What all stages of a run share.

    target: label of the part that --data is, where there are several. compiled: train through torch.compile.
    """

    spec: ModelSpec
    network: NetworkConfig
    schedule: Schedule
    augment: config.Config
    seed: int
    target: str = ""
    compiled: bool = False


def focused(settings: Settings, network: Network) -> tuple[Network, Settings]:
    """A network of the target's branch alone, and the settings of a run that goes on with it."""
    small = narrow(network, settings.spec.parts, settings.target)
    part = next(part for part in settings.spec.parts if part.label == settings.target)
    return small, replace(settings, spec=one_part(settings.spec, part), network=small.cfg)


class Trainer:
    """Holds the device, the run folder and the starting weights of one run."""

    def __init__(self, settings: Settings, run: Path, fabric: Fabric, init: Path | None, report: Report) -> None:
        """Open a run folder; stages that it already holds are not trained again."""
        self.settings, self.run, self.fabric, self._report = settings, run, fabric, report
        self.progress = RunProgress()
        self.rounds: list[str] = []  # as reported, in their order
        self.warnings: list[str] = []
        self._board = Board(run / "tensorboard")
        self._init = checkpoint.read(init).weights if init else None
        self.starts_from_init = init is not None

    def new_network(self, fresh: bool = False) -> Network:
        """A network with the starting weights: --init, ImageNet, or random ones drawn from the seed.

        fresh: leave --init aside.
        """
        torch.manual_seed(self.settings.seed)
        given = self._init is not None and not fresh
        # --init replaces every weight, so a site without a connection needs no others
        cfg = self.settings.network.model_copy(update={"pretrained": False}) if given else self.settings.network
        network = build(cfg, self.settings.spec.landmarks.points)
        if self._init is not None and given:
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
        file = self._file(stage)
        schedule = schedule or self.settings.schedule
        plain = make_optimiser(network, schedule, stage.rates, stage.undecayed)
        start = 0
        if file.is_file():
            saved = checkpoint.read(file)
            network.load_state_dict(saved.weights)
            if saved.about.done:
                self.progress.skip(stage.name)
                return
            checkpoint.restore_optimiser(plain, saved.optimiser)
            start = saved.about.epoch
        module, optimiser = self.fabric.setup(share_norms(network, self.fabric.device), plain)
        if self.settings.compiled:
            module = compiled(module, self.fabric.device)
        drawer = self.drawer(parts)
        self.progress.begin(stage.name, stage.epochs, start)
        plan = Plan(
            stage=stage, schedule=schedule, seed=self.settings.seed, start=start, progress=self.progress,
            epoch_end=self._epoch_end(stage, start, network, plain),
        )  # fmt: skip
        try:
            fit(self.fabric, module, optimiser, drawer, step, plan)
        finally:
            self.progress.end()
            self._board.close()
        self._warn(stage, network, drawer)

    def _epoch_end(self, stage: Stage, start: int, network: nn.Module, optimiser: torch.optim.Optimizer) -> EpochEnd:
        """What the first process does after each epoch: log, and save now and then."""
        if not processes.first():
            return lambda epoch, values: None
        log = metrics_log.MetricsLog(self.run / "metrics.csv", stage.name, start)
        file = self._file(stage)

        def epoch_end(epoch: int, values: dict[str, float]) -> None:
            log.add(epoch, values)
            self._board.scalars(stage.name, epoch, values)
            done = epoch == stage.epochs
            if done or log.seconds_since_save() > metrics_log.SAVE_EVERY_S:
                checkpoint.write(file, network, self.about(epoch, done), None if done else optimiser)
                log.saved()

        return epoch_end

    def _warn(self, stage: Stage, network: nn.Module, drawer: Drawer) -> None:
        """Say when the stage taught the network nothing."""
        if not processes.first():
            return
        sentence = plateau.warning(network, self.settings.spec, drawer.data, self.fabric.device)
        if sentence:
            self.warnings.append(f"{stage.name}: {sentence}{'' if self.warnings else plateau.ADVICE}")
            log.warning("warning: %s", self.warnings[-1])

    def _file(self, stage: Stage) -> Path:
        return self.run / "stages" / f"{stage.name}.safetensors"

    def drawer(self, parts: list[Part]) -> Drawer:
        """What turns rows of the parts into batches."""
        cfg, spec = self.settings.network, self.settings.spec
        return Drawer(TrainSet(parts), spec, cfg.unit(spec.crop.size), self.settings.augment, self.fabric.device)

    def pseudo_label(
        self,
        network: Network,
        crops: Crops,
        round_name: str,
        predict: Predict = predict_crops,
        quality: Quality | None = None,
    ) -> Crops:
        """The crops with the network's own labels and scores; kept in the run folder with round, teacher and seed.

        quality: judges the labels; its judgement is kept beside them.
        """
        network.eval()
        points, score = predict_shared(predict, network, self.settings.spec, crops, self.fabric.device)
        labelled = crops.with_points(points, score)
        labelled = labelled if quality is None else judged(quality, labelled)
        if processes.first():
            folder = self.run / "pseudo" / round_name
            keep(folder, labelled, network, self.settings.seed, quality)
            sheet = picture(labelled)
            write_file(folder / "preview.jpg", jpeg(sheet))
            self._board.picture(f"pseudo/{round_name}", sheet)
        return labelled

    def map_labels(self, maps_of: MapsOf, crops: Crops, rows: tuple[int, ...]) -> F16:
        """What maps_of says of some plain crops, f16[len(rows),C,h,w], in the order of the rows; see Part.maps."""
        return predict_maps(maps_of, crops, rows, self.settings.spec.crop.size, self.fabric.device)

    def picture(self, name: str, image: U8) -> None:
        """Keep a picture u8[H,W,3] RGB of the training as pictures/NAME.jpg."""
        if processes.first():
            write_file(self.run / "pictures" / f"{name}.jpg", jpeg(image))
            self._board.picture(f"pictures/{name}", image)

    def keep_chosen(self, labelled: Crops, rows: tuple[int, ...], round_name: str) -> None:
        """Note in the run folder which of a round's pseudo-labels are trained on."""
        if processes.first():
            keep_chosen(self.run / "pseudo" / round_name, labelled, rows)

    def once(self, name: str, make: Callable[[], str], guess: str) -> str:
        """Text of the run folder's file NAME, as an interrupted run left it, else what make() says, which it keeps.

        All processes call it. guess: what stands for the text where a run's length is counted without training.
        """
        file = self.run / name
        there = file.is_file()
        processes.barrier()  # so that none sees the file that another writes now, and waits in vain for its make()
        if there:
            return file.read_text(encoding="utf-8")
        text = make()
        if processes.first():
            write_file(file, text.encode())
        return text

    def report(self, network: Network, name: str) -> None:
        """Measure a round on the test folder, where the run has one; the first process alone does."""
        if processes.first():
            self._report(network, name, self.settings.spec)
            self._board.scalars("rounds", len(self.rounds), rounds.figures(self.run, name))
            self.rounds.append(name)
            self._board.close()

    def focus(self, network: Network) -> Network:
        """A network of the target's branch alone; from here on the run, its report and its checkpoints are of it."""
        small, self.settings = focused(self.settings, network)
        return small.to(self.fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def finish(self, network: Network) -> Path:
        """Write the run's final checkpoint."""
        file = self.run / "model.safetensors"
        if processes.first():
            checkpoint.write(file, network, self.about(0, done=True))
        return file

    def about(self, epoch: int, done: bool) -> checkpoint.About:
        """Header of a checkpoint of this run."""
        return checkpoint.About(spec=self.settings.spec, network=self.settings.network, epoch=epoch, done=done)
