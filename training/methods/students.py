"""How the students of TS3, SPL and SPaCo are trained, and what each of them thinks of a label (TS3, Section 4.2)."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from lmdeploy.errors import InputError
from lmdeploy.types import F32
from training.codec import CODECS
from training.data.crops import Crops
from training.engine.batch import Batch
from training.engine.fit import Schedule, Stage, Step
from training.engine.plain import plain_batches
from training.engine.pseudo_labels import Quality
from training.engine.streams import answer
from training.engine.train_set import Part
from training.engine.trainer import Trainer
from training.losses.detection import detection_loss, squared
from training.methods.map_targets import PseudoTarget, kept_maps, wanted_maps
from training.methods.round_zero import Start
from training.models import Network
from training.models.raw import RawOutputs
from training.models.students import Students


class Training(BaseModel):
    """One student's optimiser and length.

    decay_by: lr is multiplied with it at each of the epochs decay_at. stage_rate, bias_rate: step size of the weights
    behind the features and of biases, as multiples of lr (their product for a bias behind the features).
    decay_biases: whether the schedule's weight decay is for biases too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(ge=1)
    decay_at: tuple[int, ...] = ()
    decay_by: float = Field(default=0.5, gt=0, le=1)
    stage_rate: float = Field(default=1.0, gt=0)
    bias_rate: float = Field(default=1.0, gt=0)
    decay_biases: bool = True
    schedule: Schedule


CPM = Training(
    epochs=50, decay_at=(20, 25, 30, 40), stage_rate=4.0, bias_rate=2.0, decay_biases=False,  # the release's groups
    schedule=Schedule(batch=8, lr=5e-5, optimiser="sgd", momentum=0.9, weight_decay=5e-4),
)  # fmt: skip
HOURGLASS = Training(
    epochs=110, decay_at=(50, 70, 90, 100), schedule=Schedule(batch=8, lr=2.5e-4, optimiser="rmsprop")
)


class StudentOptions(BaseModel):
    """Steps, selection and trainings, the same for all three; the defaults are those of TS3's comparison (Fig. 4)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=5, ge=0)  # S; 0: the students trained on L alone
    r: float = Field(default=0.1, ge=0, le=1)
    sigma: float = Field(default=3.0, gt=0)  # of all targets, crop px
    start: Start = "train"
    student: Literal["init", "fresh"] = "init"  # what a retrained student starts from: --init's weights, or none
    oversample: int = 0
    labelled_only: bool = False  # no image without a label is used, as if steps were 0
    pseudo_target: PseudoTarget = "gaussians"  # what is learnt of a pseudo-label; maps: see map_targets.py
    students: tuple[Training, ...] = Field(default=(CPM, HOURGLASS), min_length=1)

    @property
    def rounds(self) -> int:
        """Half-steps, each with pseudo-labels of its own."""
        return len(self.taken) * len(self.students)

    @property
    def taken(self) -> range:
        """The steps that are taken: 1 .. S."""
        return range(1, 1 + (0 if self.labelled_only else self.steps))


def truth_of(cfg: StudentOptions, trainer: Trainer, labelled: Crops) -> Part:
    """The labelled crops, with targets at the size of the averaged maps."""
    return Part(labelled, sigma=_cells(cfg, trainer), oversample=cfg.oversample)


def chosen(cfg: StudentOptions, trainer: Trainer, network: Network, pseudo: Crops, rows: tuple[int, ...]) -> Part:
    """Some rows of the crops that `network` has labelled, with its points or its maps as labels."""
    maps = kept_maps(trainer, network, pseudo, rows) if cfg.pseudo_target == "maps" else None
    return Part(pseudo, pseudo=True, sigma=_cells(cfg, trainer), rows=rows, maps=maps)


def first_students(cfg: StudentOptions, trainer: Trainer, truth: Part) -> Students:
    """The students of round 0: trained on `truth` one after another, or those of --init."""
    network = _new(cfg, trainer, fresh=False)
    if cfg.start == "train":
        for a in range(len(network.students)):
            _fit(cfg, trainer, network, a, [truth], f"round0-student{a + 1}")
    elif not trainer.starts_from_init:
        raise InputError("start = 'init' needs the weights to start from: give --init BUNDLE or CHECKPOINT")
    trainer.report(network, "round0")
    return network


def retrained(
    cfg: StudentOptions, trainer: Trainer, network: Students, a: int, parts: list[Part], name: str
) -> Students:
    """A network with student number a (from 0) trained anew on `parts`, the labelled and the chosen crops.

    The other students are as in `network`, which stays as it is. Where nothing was chosen student a has seen all there
    is, and stays too.
    """
    if not len(parts[-1]):
        return network
    new = _new(cfg, trainer, fresh=cfg.student == "fresh")
    for b, student in enumerate(network.students):
        if b != a:
            new.students[b].load_state_dict(student.state_dict())
    _fit(cfg, trainer, new, a, parts, name)
    return new


def student_step(sigma: float, codec: str) -> Step:
    """Eq. 2 on all stages at the student's own map size; sigma in crop px."""

    def step(raw_outputs: nn.Module, batch: Batch) -> dict[str, Tensor]:
        stages = raw_outputs(batch.x)
        target = _targets(batch.points, sigma, codec, batch.x.shape[-1], stages[0].shape[-1])
        wanted, counted = wanted_maps(target, batch, stages[0].shape[1])
        return {"loss": detection_loss(stages, wanted, counted)}

    return step


def own_loss(cfg: StudentOptions, trainer: Trainer, student: Network) -> Quality:
    """Judges a label by minus the student's own detection loss with the label drawn as if it were true (SPL)."""
    spec, device = trainer.settings.spec, trainer.fabric.device

    def of(crops: Crops) -> F32:
        found = []
        for x, points in plain_batches(crops, spec.crop.size, device):
            maps = answer(student, x)[0].float()
            wanted = _targets(points, cfg.sigma, spec.codec, x.shape[-1], maps.shape[-1])
            everything = torch.ones(maps.shape[:2], dtype=torch.bool, device=device)
            found.append(-squared(maps, wanted, everything).sum(dim=1).cpu().numpy())
        return np.concatenate(found).astype(np.float32)

    return Quality(student, "minus own loss", of)


def quota(r: float, i: int, count: int) -> int:
    """How many of `count` pseudo-labels step i trains on: floor(r i count), at most all."""
    return min(math.floor(r * i * count + 1e-9), count)  # 1e-9: 0.1 x 3 x 10 is 3 though 0.1 is no binary fraction


def best(quality: F32 | None, count: int) -> tuple[int, ...]:
    """Rows of the `count` highest of quality f32[N], the best first; of equal ones the earlier row."""
    assert quality is not None
    return tuple(np.argsort(-quality, kind="stable")[:count].tolist())


def _new(cfg: StudentOptions, trainer: Trainer, fresh: bool) -> Students:
    """The run's network with its starting weights."""
    network = trainer.new_network(fresh=fresh)
    if not isinstance(network, Students) or len(network.students) != len(cfg.students):
        raise InputError(
            f"{trainer.settings.spec.method}: network.students and options.students are lists of one length, the "
            "networks and how each of them is trained; set network.kind = 'ts3' and give no --init of another kind"
        )
    return network


def _fit(cfg: StudentOptions, trainer: Trainer, network: Students, a: int, parts: list[Part], name: str) -> None:
    """Train student number a in place as its options say."""
    how, module = cfg.students[a], RawOutputs(network.students[a])  # type: ignore[arg-type]  # of a ModuleList
    biases = frozenset(weight for weight, _ in module.named_parameters() if weight.endswith(".bias"))
    stage = Stage(
        name=name, epochs=how.epochs, decay_at=how.decay_at, decay_by=how.decay_by, rates=_rates(how, module),
        undecayed=frozenset() if how.decay_biases else biases,
    )  # fmt: skip
    trainer.fit(module, parts, student_step(cfg.sigma, trainer.settings.spec.codec), stage, how.schedule)


def _cells(cfg: StudentOptions, trainer: Trainer) -> float:
    """Width of targets at the size of the averaged maps, cells."""
    return cfg.sigma / trainer.settings.network.unit(trainer.settings.spec.crop.size)


def _targets(points: Tensor, sigma: float, codec: str, size: int, cells: int) -> Tensor:
    """Gaussians f32[B,K,cells,cells] of points f32[B,K,2] (crop px); sigma and the crop's side in px."""
    stride = size // cells
    width = torch.full((len(points),), sigma / stride, device=points.device)
    return CODECS[codec].encode(points, width, cells, stride)


def _rates(how: Training, module: nn.Module) -> dict[str, float]:
    """Step sizes by the weights' full names; those of the plain step are left out."""
    rates = {}
    for name, _ in module.named_parameters():
        rate = (how.stage_rate if ".stages." in name else 1.0) * (how.bias_rate if name.endswith(".bias") else 1.0)
        if rate != 1.0:
            rates[name] = rate
    return rates
