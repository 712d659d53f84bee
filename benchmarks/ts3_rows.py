"""The rows of the TS3 benchmark: which method on which students, and how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from training import recipe
from training.engine.fit import Schedule
from training.methods.judge import JudgeOptions
from training.methods.students import Training
from training.models import cpm, hourglass, students
from training.recipe import Recipe

START = "supervised"  # the students trained on the labelled images alone: step 0 of the rows of SHARED
SHARED = ("ts3", "spl", "spaco")
ALONE = {"cpm": 0, "hourglass": 1}  # TS3 with one student: its teacher chooses, but there is no interaction
ROWS = (START, *ALONE, *SHARED)


@dataclass(frozen=True, slots=True)
class Size:
    """What all runs of an execution share.

    cpm, hourglass: the students. epochs: of each of their trainings. oversample: the labelled list's length. steps: S.
    r: share of the unlabelled images that each step adds. teacher_epochs: of each of TS3's teachers. size: crop, px.
    """

    cpm: cpm.Config
    hourglass: hourglass.Config
    epochs: int
    oversample: int
    steps: int
    r: float
    teacher_epochs: int
    size: int = 64


# Widths of an eighth of the published ones; batch norm lets CPM train from random weights
LIGHT = Size(
    cpm.Config(width=8, batch_norm=True, background=True),
    hourglass.Config(features=32, stacks=2, residuals=1, background=True),
    epochs=12, oversample=600, steps=3, r=0.2, teacher_epochs=20,
)  # fmt: skip
LARGE = Size(
    cpm.Config(batch_norm=True, background=True), hourglass.Config(background=True),
    epochs=60, oversample=1200, steps=5, r=0.1, teacher_epochs=50,
)  # fmt: skip
TINY = Size(
    cpm.Config(width=4, stages=2, batch_norm=True, background=True),
    hourglass.Config(features=16, stacks=2, depth=2, residuals=1, background=True),
    epochs=4, oversample=32, steps=1, r=0.4, teacher_epochs=4,
)  # fmt: skip


def of_row(row: str, size: Size) -> Recipe:
    """The recipe of a row; every row trains its students alike and takes as many pseudo-labels in every step."""
    method = row if row in SHARED else "ts3"
    base = recipe.load(method)
    rates = {"cpm": ("adam", 2e-3), "hourglass": ("rmsprop", 5e-3)}
    both = (size.cpm, size.hourglass)
    used = (both[ALONE[row]],) if row in ALONE else both
    options: dict[str, Any] = base.options | {
        "steps": 0 if row == START else size.steps, "r": size.r, "oversample": size.oversample,
        "students": [_training(size, *rates[one.kind]).model_dump() for one in used],
    }  # fmt: skip
    if method == "ts3":
        options["teacher"] = JudgeOptions(epochs=size.teacher_epochs, lr=1e-3, batch=32, width=32).model_dump()
    changes = {
        "name": f"ts3-{row}", "options": options, "network": students.Config(students=used),
        "crop": base.crop.model_copy(update={"size": size.size}),
    }  # fmt: skip
    return recipe.checked(base.model_copy(update=changes), "ts3_faces")


def _training(size: Size, optimiser: str, lr: float) -> Training:
    schedule = {"batch": 16, "lr": lr, "decay": "cosine", "warm_up": 0.05, "optimiser": optimiser}
    return Training(epochs=size.epochs, schedule=Schedule.model_validate(schedule))
