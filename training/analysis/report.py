"""What `lmdeploy analyse` calls: all figures that the runs allow, their numbers, and what the others lack."""

from __future__ import annotations

import csv
import difflib
import io
import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmdeploy.atomic import write_file
from lmdeploy.errors import InputError
from lmdeploy.plots import figure_class, write_png
from lmdeploy.site.config import to_toml
from training import recipe
from training.analysis import (
    ablation,
    cost,
    crossover,
    density,
    forgetting,
    gradients,
    noise,
    offsets,
    sensitivity,
    sweeps,
)
from training.analysis.figure import Inputs, Spec
from training.analysis.run import MissingError, open_runs
from training.analysis.truth import read_truth

FIGURES: dict[str, Spec] = {
    "density": Spec("fig2", density.make, density.plot),
    "noise": Spec("fig3", noise.make, noise.plot),
    "offsets": Spec("fig4", offsets.make, offsets.plot),
    "ablation": Spec("fig9", ablation.make, ablation.plot),
    "forgetting": Spec("fig10", forgetting.make, forgetting.plot),
    "gradients": Spec("fig11", gradients.make, gradients.plot),
    "crossover": Spec("fig12", crossover.make, crossover.plot),
    "sensitivity": Spec("fig13", sensitivity.make, sensitivity.plot),
    "cost": Spec("table6", cost.make, cost.plot),
}
PAPER = {spec.paper: name for name, spec in FIGURES.items()}


@dataclass(frozen=True, slots=True)
class Report:
    """Files written, why the other figures are not possible, and remarks on those that are."""

    files: tuple[Path, ...]
    missing: dict[str, str]
    notes: tuple[str, ...]


def named(figure: str) -> str:
    """The figure's own name from it or from its number in the paper (fig2, ..., table6)."""
    name = PAPER.get(figure, figure)
    if name not in FIGURES:
        near = difflib.get_close_matches(figure, [*FIGURES, *PAPER], 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"figure {figure!r} is none of {', '.join(FIGURES)} (or fig2 ... fig13, table6){hint}")
    return name


def analyse(folders: Sequence[Path], data: Path | None, out: Path, figure: str | None = None) -> Report:
    """Write NAME.png of every possible figure, numbers.csv and numbers.json into `out`.

    Args:
        folders: run folders of one landmark schema.
        data: labelled folder with the true labels of the images that counted as unlabelled.
        out: created where it is missing.
        figure: only this one; then it is an InputError that it is not possible.
    """
    wanted = [named(figure)] if figure else list(FIGURES)
    figure_class()  # without matplotlib nothing is computed in vain
    runs = open_runs(folders)
    inputs = Inputs(runs, read_truth(data, runs[0]) if data else None)
    results: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for name in wanted:
        try:
            results[name] = FIGURES[name].make(inputs)
        except MissingError as error:
            missing[name] = str(error)
    if not results:
        raise InputError("no figure is possible: " + "; ".join(f"{name}: {why}" for name, why in missing.items()))
    files = [_draw(name, result, out) for name, result in results.items()]
    files += [_table(results, out / "numbers.csv"), _json(results, missing, out / "numbers.json")]
    notes = _matches(inputs) + [f"{name}: {note}" for name, result in results.items() for note in result.notes]
    return Report(tuple(files), missing, tuple(notes))


def plan(figure: str, recipes: Iterable[str], data: Path | None, out: Path) -> list[str]:
    """Write the recipes of a figure's runs into `out`; returns the commands that train them."""
    planned = sweeps.plan(named(figure), [recipe.load(ref) for ref in recipes])
    commands = []
    for run in planned:
        file = out / f"{run.name}.toml"
        write_file(file, to_toml(run.recipe.model_dump(mode="json", exclude_none=True)).encode())
        words = ["lmdeploy", "train", str(file), "--data", str(data or "FOLDER")]
        if run.recipe.data is None:  # else the recipe itself says all this
            words += ["--labelled", str(run.labelled), "--boxes", "gt", "--eval", "TEST"]
        commands.append(shlex.join([*words, "--out", str(out / "runs" / run.name)]))
    return commands


def _matches(inputs: Inputs) -> list[str]:
    """How many of each run's unlabelled images --data knows."""
    found = []
    for run in inputs.runs:
        rounds = run.label_rounds()
        if inputs.truth and rounds:
            names = run.labels(rounds[0]).names
            known = sum(name in inputs.truth.samples for name in names)
            found.append(f"{run.name}: true labels for {known} of its {len(names)} unlabelled images")
    return found


def _draw(name: str, result: Any, out: Path) -> Path:
    file = out / f"{name}.png"
    write_png(FIGURES[name].plot(result), file)
    return file


def _table(results: dict[str, Any], file: Path) -> Path:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["figure", "series", "x", "value"])
    for name, result in results.items():
        writer.writerows([name, series, x, f"{value:.6g}"] for series, x, value in result.rows())
    write_file(file, text.getvalue().encode())
    return file


def _json(results: dict[str, Any], missing: dict[str, str], file: Path) -> Path:
    figures = {name: {"paper": FIGURES[name].paper} | of.model_dump(mode="json") for name, of in results.items()}
    write_file(file, (json.dumps({"figures": figures, "missing": missing}, indent=1) + "\n").encode())
    return file
