"""How much the curriculum's start matters (STLD, V-D, Fig. 13).

Test error of the last round over sigma_2 (HM) or p_2 (TF), the width or exponent of round 2, the first with
pseudo-labels; the following ones go down evenly to the standard (`sweeps.curriculum`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.analysis.figure import Frozen, Inputs, Line, Row, canvas, collect, draw
from training.analysis.finals import FULL, Final, final_of, mean_lines, stld_option, unit_of, variant_of
from training.analysis.run import MissingError, Run
from training.methods.stld import Config

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Panel(Frozen):
    """One model: the knob's letter, its published value, and a line for each number of labelled images."""

    model: str
    knob: str
    published: float
    lines: tuple[Line, ...]


class Sensitivity(Frozen):
    """A panel for every model."""

    unit: str
    panels: tuple[Panel, ...]
    notes: tuple[str, ...] = ()

    def rows(self) -> list[Row]:
        """Every setting's error."""
        return [
            row for panel in self.panels for of in panel.lines for row in of.rows(f"{panel.model}, {panel.knob}, ")
        ]


def knob_of(run: Run) -> str:
    """`sigma` for maps, `p` for coordinates."""
    return "p" if run.network.kind == "transformer" else "sigma"


def start_of(run: Run) -> float:
    """The first value of the run's curriculum; MissingError where it has none."""
    curriculum = stld_option(run, knob_of(run))
    if not curriculum:
        raise MissingError(f"{run.name}: one round alone has no curriculum")
    return float(curriculum[0])


class Setting(Frozen):
    """One run: where its curriculum starts and how it ended."""

    knob: str
    start: float
    final: Final


def setting_of(run: Run) -> Setting:
    """MissingError where the run has no curriculum or no test figures."""
    return Setting(knob=knob_of(run), start=start_of(run), final=final_of(run))


def panels_of(settings: list[Setting]) -> tuple[Panel, ...]:
    """Models with two or more starts."""
    panels = []
    for model in dict.fromkeys(of.final.model for of in settings):
        mine = [of for of in settings if of.final.model == model]
        points = [(f"{of.final.labelled} labelled", of.start, of.final.value) for of in mine]
        lines = tuple(of for of in mean_lines(points) if len(of.x) > 1)
        if lines:
            published = Config().p[0] if mine[0].knob == "p" else Config().sigma[0]
            panels.append(Panel(model=model, knob=mine[0].knob, published=published, lines=lines))
    return tuple(panels)


def make(inputs: Inputs) -> Sensitivity:
    """Needs runs of full STLD that differ in their curriculum's start."""
    stld_runs = [run for run in inputs.runs if variant_of(run) == FULL]
    if not stld_runs:
        raise MissingError("needs runs of full STLD; there is none")
    settings, lacking = collect(setting_of, stld_runs)
    unit = unit_of([of.final for of in settings])
    panels = panels_of(settings)
    if not panels:
        raise MissingError("needs two or more runs of one model with different sigma_2 or p_2: see --plan sensitivity")
    return Sensitivity(unit=unit, panels=panels, notes=lacking)


def plot(result: Sensitivity) -> Figure:
    """A panel a model, the published start as a red dot on the curves that have it."""
    figure, axes = canvas(len(result.panels), height=4.2)
    for at, panel in zip(axes, result.panels, strict=True):
        draw(at, panel.lines, f"{panel.knob} of the first round with pseudo-labels", result.unit)
        for of in panel.lines:
            if panel.published in of.x:
                at.plot(panel.published, of.y[of.x.index(panel.published)], "o", color="red", markersize=8, zorder=3)
        at.set_title(panel.model, fontsize=9)
    return figure
