"""The only epoch loop.

Every epoch draws its order and its augmentation from a generator seeded by (seed, stage, epoch), so a run that was
killed goes on from its last saved epoch exactly as if it had not been.

N processes with batches of b do the same as one with batches of N b: they draw the same rows and the same augmentation
for the global batch, each takes every N-th row, and the gradients are averaged. What layers and steps draw themselves
(dropout, torch's own generator) is not shared: each process has a stream of its own. Batch norm takes its mean over
all processes on GPUs, on processors over each one's rows; its running statistics are averaged after every epoch.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from lmdeploy.errors import InputError
from training.engine import processes
from training.engine.batch import Batch, Drawer
from training.engine.progress import RunProgress
from training.engine.sampler import batches
from training.models.sepbn import begin_epoch

Step = Callable[[nn.Module, Batch], dict[str, Tensor]]
"""(network, batch) -> scalars, among them `loss`."""


class Schedule(BaseModel):
    """How a stage is optimised; the defaults are STLD's for HM (IV-C)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch: int = Field(default=16, gt=0)  # of each process
    lr: float = Field(default=1e-4, gt=0)
    decay: Literal["step", "cosine"] = "step"  # step: falls at the method's decay epochs
    lr_end: float = Field(default=0.0, ge=0)  # where cosine ends
    warm_up: float = Field(default=0.0, ge=0, lt=1)  # share of the stage in which lr rises from 0
    weight_decay: float = 0.0
    optimiser: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    momentum: float = Field(default=0.9, ge=0, lt=1)  # of sgd
    betas: tuple[float, float] = (0.9, 0.999)  # of adam and adamw


class Stage(BaseModel):
    """One training stage: its name in the run folder, its length and where the step size falls (in epochs).

    decay_by: what it is multiplied with there.
    mu: unlabelled rows per labelled row in every batch, the first part being the labelled one; 0: one shuffled list.
    rates: of weights whose name begins so, the step size as a multiple of the schedule's; the others have 1.
    undecayed: names of weights that the schedule's weight decay leaves alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    epochs: int = Field(ge=1)
    decay_at: tuple[int, ...] = ()
    decay_by: float = Field(default=0.1, gt=0, le=1)
    mu: int = Field(default=0, ge=0)
    rates: dict[str, float] = {}
    undecayed: frozenset[str] = frozenset()


EpochEnd = Callable[[int, dict[str, float]], None]
"""(epochs finished, mean of every scalar) after each epoch: log, save."""


class Plan(BaseModel):
    """Where a stage starts, how it is optimised and who is told after each epoch."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    stage: Stage
    schedule: Schedule
    seed: int
    start: int = 0
    epoch_end: EpochEnd
    progress: RunProgress = Field(default_factory=RunProgress)


def factor(schedule: Schedule, stage: Stage, progress: float) -> float:
    """What lr is multiplied with at `progress` (epochs finished, with fraction)."""
    share = progress / stage.epochs
    if share < schedule.warm_up:
        return share / schedule.warm_up
    if schedule.decay == "cosine":
        end = schedule.lr_end / schedule.lr
        return end + (1 - end) / 2 * (1 + math.cos(math.pi * (share - schedule.warm_up) / (1 - schedule.warm_up)))
    return float(stage.decay_by ** sum(progress >= epoch for epoch in stage.decay_at))


def make_optimiser(
    network: nn.Module,
    schedule: Schedule,
    rates: Mapping[str, float] | None = None,
    undecayed: frozenset[str] = frozenset(),
) -> torch.optim.Optimizer:
    """The schedule's optimiser over all trainable weights of `network`; rates, undecayed: as in Stage."""
    weights = _groups(network, rates or {}, undecayed)
    lr, decay = schedule.lr, schedule.weight_decay
    if schedule.optimiser == "sgd":
        return torch.optim.SGD(weights, lr=lr, momentum=schedule.momentum, weight_decay=decay)
    if schedule.optimiser == "rmsprop":
        return torch.optim.RMSprop(weights, lr=lr, weight_decay=decay)
    family = torch.optim.Adam if schedule.optimiser == "adam" else torch.optim.AdamW
    return family(weights, lr=lr, betas=schedule.betas, weight_decay=decay)


def _groups(network: nn.Module, rates: Mapping[str, float], undecayed: frozenset[str]) -> list[dict[str, Any]]:
    """Groups of one step size and one weight decay, in the order of their first weights."""
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, weight in network.named_parameters():
        if weight.requires_grad:
            rate = next((rate for start, rate in rates.items() if name.startswith(start)), 1.0)
            groups.setdefault((rate, name not in undecayed), []).append(weight)
    return [
        {"params": weights, "rate": rate} | ({} if decays else {"weight_decay": 0.0})
        for (rate, decays), weights in groups.items()
    ]


def seed_of(seed: int, stage: str, epoch: int) -> int:
    """A 63-bit seed of its own for every epoch of every stage."""
    digest = hashlib.sha256(f"{seed}/{stage}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def fit(
    fabric: Fabric,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    drawer: Drawer,
    step: Step,
    plan: Plan,
) -> None:
    """Train `network` (set up by `fabric`) from plan.start to the end of the stage."""
    network.train()
    stage, schedule, share = plan.stage, plan.schedule, processes.share()
    for epoch in range(plan.start, stage.epochs):
        seed = seed_of(plan.seed, stage.name, epoch)
        torch.manual_seed(seed + share.rank)
        draw = torch.Generator().manual_seed(seed)
        begin_epoch(network)
        rows_of = batches(drawer.data.lengths, schedule.batch, stage.mu, draw, share.world)
        means = _Means()
        for i, rows in enumerate(rows_of):
            behind = epoch + i / len(rows_of)
            rate = schedule.lr * factor(schedule, stage, behind)
            for group in optimiser.param_groups:
                group["lr"] = rate * group["rate"]
            losses = step(network, drawer.draw(rows, draw, epoch * len(rows_of) + i, behind / stage.epochs, share))
            fabric.backward(losses["loss"])
            processes.average_gradients(network)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            means.add(losses, len(rows))
            plan.progress.step(len(rows))
        processes.average_buffers(network)
        values = means.close(stage.name, epoch)
        plan.progress.epoch(epoch + 1, f"loss {values['loss']:.3g}")
        plan.epoch_end(epoch + 1, values | {"lr": rate})


class _Means:
    """Means of the step's scalars over an epoch, without waiting for the device in every step."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._steps, self._images, self._start = 0, 0, time.perf_counter()

    def add(self, losses: dict[str, Tensor], images: int) -> None:
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach()
        self._steps += 1
        self._images += images

    def close(self, stage: str, epoch: int) -> dict[str, float]:
        values = processes.mean_values({name: float(total) / self._steps for name, total in self._sums.items()})
        if not math.isfinite(values["loss"]):
            raise InputError(
                f"{stage}: the loss is not finite in epoch {epoch + 1}; lower schedule.lr or check labels"
            )
        epoch_s = time.perf_counter() - self._start
        return values | {"images_per_s": self._images / epoch_s, "epoch_s": epoch_s}
