"""What each part of STLD brings (V-D, Fig. 9): naive, linear warm-up, PP only, shrink only, full.

Test error of the last round over the number of labelled images, one panel a model (HM, TF).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.analysis.figure import Frozen, Inputs, Line, Row, canvas, draw, label_counts
from training.analysis.finals import VARIANTS, Final, averaged, finals, mean_lines
from training.analysis.run import MissingError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Panel(Frozen):
    """The variants of one model; x is the number of labelled images."""

    model: str
    lines: tuple[Line, ...]


class Ablation(Frozen):
    """A panel for every model that has at least two variants."""

    unit: str
    panels: tuple[Panel, ...]
    notes: tuple[str, ...] = ()

    def rows(self) -> list[Row]:
        """Every variant's error."""
        return [row for panel in self.panels for of in panel.lines for row in of.rows(f"{panel.model}, ")]


def panels_of(found: list[Final]) -> tuple[Panel, ...]:
    """Models with two or more of the paper's variants, in the paper's order."""
    panels = []
    for model in dict.fromkeys(final.model for final in found):
        mine = [final for final in found if final.model == model and final.variant in VARIANTS]
        mine.sort(key=lambda final: VARIANTS.index(final.variant))
        lines = mean_lines((final.variant, final.labelled, final.value) for final in mine)
        if len(lines) > 1:
            panels.append(Panel(model=model, lines=lines))
    return tuple(panels)


def make(inputs: Inputs) -> Ablation:
    """MissingError names the variants that are lacking when no model has two."""
    found, lacking = finals(inputs.runs)
    panels = panels_of(found)
    if not panels:
        missing = [variant for variant in VARIANTS if variant not in {final.variant for final in found}]
        raise MissingError(f"needs two or more variants of one model; not among these runs: {', '.join(missing)}")
    notes = [*lacking, *averaged(found)]
    for panel in panels:
        missing = [variant for variant in VARIANTS if variant not in {of.name for of in panel.lines}]
        if missing:
            notes.append(f"{panel.model}: no run of {', '.join(missing)}")
    return Ablation(unit=found[0].unit, panels=panels, notes=tuple(notes))


def plot(result: Ablation) -> Figure:
    """A panel a model."""
    figure, axes = canvas(len(result.panels), height=4.2)
    for at, panel in zip(axes, result.panels, strict=True):
        draw(at, panel.lines, "labelled images", result.unit)
        label_counts(at, panel.lines)
        at.set_title(panel.model, fontsize=9)
    return figure
