"""Test figures of last rounds, side by side: what the ablation, the crossover and the sensitivity are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from training.analysis.figure import Frozen, Line, collect, line
from training.analysis.run import MissingError, Run
from training.methods import stld

FULL = "STLD"
VARIANTS = ("naive", "linear warm-up", "PP only", "shrink only", FULL)
"""The curves of the paper's ablation, in its order."""
NAMES = {"naive": "naive", "linear_warmup": "linear warm-up"}


class Final(Frozen):
    """A run's last test figure: value in unit (which names normaliser, frame and images), and what was trained."""

    run: str
    model: str
    variant: str
    labelled: int
    value: float
    unit: str


def variant_of(run: Run) -> str:
    """The run's method as the ablation calls it."""
    if run.spec.method != "stld":
        return NAMES.get(run.spec.method, run.spec.method)
    pretrain, mixed = (stld_option(run, name) for name in ("pretrain", "mixed"))
    return FULL if pretrain and mixed else "PP only" if pretrain else "shrink only"


def stld_option(run: Run, name: str) -> Any:
    """An option of a run of STLD; the method's default where its recipe does not say (or is older than the option)."""
    return run.options.get(name, stld.Config.model_fields[name].default)


def final_of(run: Run) -> Final:
    """MissingError where the run has no test figures."""
    test = run.final()
    unit = f"NME, % of {test.normaliser} ({test.frame} frame, {test.images} images)"
    value = test.nme
    if test.mre_mm is not None:
        unit, value = f"MRE, mm ({test.frame} frame, {test.images} images)", test.mre_mm
    labelled = run.labelled_images
    return Final(run=run.name, model=run.model, variant=variant_of(run), labelled=labelled, value=value, unit=unit)


def finals(runs: Sequence[Run]) -> tuple[list[Final], tuple[str, ...]]:
    """Of all runs that have one, and what others lack; MissingError when they were not measured alike."""
    found, lacking = collect(final_of, runs)
    unit_of(found)
    return found, lacking


def unit_of(found: Sequence[Final]) -> str:
    """The unit of all; MissingError when they were not measured alike."""
    units = sorted({final.unit for final in found})
    if len(units) > 1:
        raise MissingError(f"the runs were tested differently ({'; '.join(units)}): give those tested alike")
    return units[0]


def mean_lines(points: Iterable[tuple[str, float, float]]) -> tuple[Line, ...]:
    """Curves of (name, x, y) in order of first appearance; several y of one x (seeds) become their mean."""
    table: dict[str, dict[float, list[float]]] = {}
    for name, x, y in points:
        table.setdefault(name, {}).setdefault(x, []).append(y)
    means = {name: {x: sum(ys) / len(ys) for x, ys in of.items()} for name, of in table.items()}
    return tuple(line(name, sorted(of), [of[x] for x in sorted(of)]) for name, of in means.items())


def averaged(found: Sequence[Final]) -> tuple[str, ...]:
    """Remarks on points that stand for several runs, which may differ in more than their seed."""
    alike: dict[tuple[str, str, int], list[str]] = {}
    for final in found:
        alike.setdefault((final.model, final.variant, final.labelled), []).append(final.run)
    return tuple(
        f"{model}, {variant}, {labelled} labelled: mean of {', '.join(names)}"
        for (model, variant, labelled), names in alike.items()
        if len(names) > 1
    )
