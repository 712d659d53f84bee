"""`lmdeploy select` as one call: a folder of images in, those worth annotating out; nnm and random need no torch.

    selected.txt   names of the chosen images, best first
    scores.csv     image,rank,state,value of every candidate, in the strategy's order; state: chosen, dropped or empty
    labelled.txt   with --labelled LIST: that list and the chosen names below it, for `lmdeploy train --labelled`
    sheet.jpg      the first chosen images with the points that the model predicts

Every file is written whole or not at all, selected.txt last.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from lmdeploy.atomic import write_file
from lmdeploy.backends.base import Device
from lmdeploy.boxes import Boxed
from lmdeploy.errors import DataError, InputError
from lmdeploy.model import Model, open_model
from training.selection import STRATEGIES, Choice, Rule, check, choose
from training.selection.candidates import Candidates, candidates_of
from training.selection.sheet import sheet_of
from training.selection.values import values_of

DISCARD = 0.1  # SCAF's share, of strategies whose first ones may be outliers


class SelectOptions(BaseModel):
    """What to rank, with which model and strategy, and where the results go; see the command's help."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    model: str = "face68"
    strategy: Literal["nnm", "entropy", "k_center", "random"] = "nnm"
    count: int = Field(default=50, ge=1)
    discard: float | None = Field(default=None, ge=0, lt=1)
    labelled: Path | None = None
    boxes: Literal["haar", "yunet", "whole_image", "file"] = "haar"
    yunet: Path | None = None
    seed: int = 1234
    out: Path | None = None
    threads: int | None = None
    device: Device = "auto"

    @property
    def rule(self) -> Rule:
        """How to choose."""
        own = DISCARD if STRATEGIES[self.strategy].discards else 0.0
        return Rule(self.strategy, own if self.discard is None else self.discard, self.seed)

    @property
    def place(self) -> Path:
        """Folder of the results."""
        return self.out or Path("runs") / f"select-{self.folder.resolve().name}"


@dataclass(frozen=True, slots=True)
class Selected:
    """names: the chosen images, best first. notes: for people. problems: one line per image that cannot be read."""

    names: tuple[str, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def select_folder(options: SelectOptions) -> Selected:
    """Rank the images of a folder, write the results, and say which were chosen.

    Errors: InputError where nothing is left to choose from or the model cannot do it, BundleError, DeviceError.
    """
    rule = options.rule
    check(rule.strategy, rule.discard)
    model = open_model(options.model, threads=options.threads, device=options.device)
    try:
        some = candidates_of(options.folder, options.labelled, model, options.boxes, options.yunet)
        values, known = values_of(options.model, model, rule.strategy, some)
        choice = choose(rule, values, known, options.count)
        names = tuple(some.boxed.samples[i].name for i in choice.chosen)
        _write(options, some, choice, model)
    finally:
        model.backend.close()
    return Selected(names, _notes(options, some, choice), some.problems)


def describe(selected: Selected) -> str:
    """Lines for people."""
    return "\n".join(selected.notes)


def raise_if_incomplete(selected: Selected) -> None:
    """DataError when images could not be read."""
    if selected.problems:
        raise DataError(f"{len(selected.problems)} images cannot be read; the rest is done", selected.problems)


def _write(options: SelectOptions, some: Candidates, choice: Choice, model: Model) -> None:
    out, names = options.place, [sample.name for sample in some.boxed.samples]
    chosen = [names[i] for i in choice.chosen]
    if out.resolve() == options.folder.resolve():
        raise InputError(f"--out {out} is the folder of the images itself: choose another one")
    write_file(out / "scores.csv", _scores(names, choice).encode())
    if some.listed:
        write_file(out / "labelled.txt", "".join(f"{name}\n" for name in [*some.listed, *chosen]).encode())
    write_file(out / "sheet.jpg", sheet_of(model, _part(some.boxed, choice.chosen), choice.value[list(choice.chosen)]))
    write_file(out / "selected.txt", "".join(f"{name}\n" for name in chosen).encode())


def _part(boxed: Boxed, rows: tuple[int, ...]) -> Boxed:
    samples, boxes = tuple(boxed.samples[i] for i in rows), tuple(boxed.boxes[i] for i in rows)
    return Boxed(samples, boxes, (), boxed.source)


def _scores(names: list[str], choice: Choice) -> str:
    """Text of scores.csv: dropped, chosen, and then the others by their value."""
    first = [*choice.dropped, *choice.chosen]
    rest = sorted(set(range(len(names))) - set(first), key=lambda i: -float(choice.value[i]))
    state = dict.fromkeys(choice.dropped, "dropped") | dict.fromkeys(choice.chosen, "chosen")
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["image", "rank", "state", "value"])
    for rank, i in enumerate([*first, *rest], start=1):
        table.writerow([names[i], rank, state.get(i, ""), f"{np.float64(choice.value[i]):.6g}"])
    return text.getvalue()


def _notes(options: SelectOptions, some: Candidates, choice: Choice) -> tuple[str, ...]:
    chosen, dropped = len(choice.chosen), len(choice.dropped)
    short = f" (fewer than the {options.count} asked for: no more are left)" if chosen < options.count else ""
    left_out = f", the {dropped} hardest left out as outliers" if dropped else ""
    done = f"{chosen} of {len(some.boxed.samples)} images chosen by {options.strategy}{short}{left_out}"
    return (*some.notes, done, f"{options.place}: selected.txt, scores.csv, sheet.jpg")
