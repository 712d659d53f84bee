"""HM against TF over the number of labelled images (STLD, V-D, Fig. 12).

The paper's curves cross at about 5 % of WFLW (375 images). Crossing: between two numbers of labelled images that both
models have, where the sign of their difference changes, linear in the logarithm of the number.
"""

from __future__ import annotations

import math
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

from training.analysis.figure import Frozen, Inputs, Line, Row, canvas, draw, label_counts
from training.analysis.finals import FULL, averaged, finals, mean_lines
from training.analysis.run import MissingError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Crossing(Frozen):
    """Two models and the number of labelled images at which their errors are equal."""

    models: tuple[str, str]
    labelled: float


class Crossover(Frozen):
    """A curve for every model of full STLD, and where they cross."""

    unit: str
    lines: tuple[Line, ...]
    crossings: tuple[Crossing, ...]
    notes: tuple[str, ...] = ()

    def rows(self) -> list[Row]:
        """Curves, then crossings."""
        found = [row for of in self.lines for row in of.rows()]
        return found + [(" = ".join(at.models), "labelled images", at.labelled) for at in self.crossings]


def crossings(a: Line, b: Line) -> list[float]:
    """Where a and b are equal, in labelled images; several when they cross more than once."""
    of_b = dict(zip(b.x, b.y, strict=True))
    gaps = [(x, y - of_b[x]) for x, y in zip(a.x, a.y, strict=True) if x in of_b]
    found = [x for x, gap in gaps if gap == 0]
    for (x0, gap0), (x1, gap1) in pairwise(gaps):
        if gap0 * gap1 < 0:
            share = gap0 / (gap0 - gap1)
            found.append(math.exp((1 - share) * math.log(x0) + share * math.log(x1)))
    return sorted(found)


def make(inputs: Inputs) -> Crossover:
    """Needs two models of full STLD."""
    found, lacking = finals(inputs.runs)
    full = [final for final in found if final.variant == FULL]
    lines = mean_lines((final.model, final.labelled, final.value) for final in full)
    if len(lines) < 2:
        have = ", ".join(of.name for of in lines) or "none"
        raise MissingError(f"needs runs of full STLD with two models (HM and TF); there is {have}")
    found_at = [
        Crossing(models=(a.name, b.name), labelled=at) for a, b in combinations(lines, 2) for at in crossings(a, b)
    ]
    return Crossover(unit=found[0].unit, lines=lines, crossings=tuple(found_at), notes=(*lacking, *averaged(full)))


def plot(result: Crossover) -> Figure:
    """Curves over a logarithmic axis, crossings as dashed lines."""
    figure, (axes,) = canvas(1, width=6.0, height=4.2)
    draw(axes, result.lines, "labelled images", result.unit)
    label_counts(axes, result.lines)
    for at in result.crossings:
        axes.axvline(at.labelled, color="0.5", linewidth=0.8, linestyle="--")
        top = axes.get_xaxis_transform()
        axes.text(at.labelled, 0.97, f" {at.labelled:.0f}", va="top", fontsize=8, color="0.4", transform=top)
    return figure
