"""Example forgetting: whether noisier pseudo-labels are forgotten more (STLD, V-D, Fig. 10).

    n_i = NME(pseudo-label of round 0 that image i was trained with, hidden true label)
    f_i = NME(what the network of round 1 says of image i, that pseudo-label)
    curve: mean f over mean n in 10 bins of equal size, sorted by n

Round 1 of STLD is pseudo pretraining and then labelled images alone, which is the paper's two-stage curve; round 1 of
the naive method has no second stage. Both NME are per cent of the true label's normaliser, in the run's frame. Bins of
equal size are our choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmdeploy.types import F64
from training.analysis.figure import Frozen, Inputs, Line, Row, canvas, collect, draw, line
from training.analysis.groups import quantile_groups
from training.analysis.run import MissingError, Run
from training.analysis.truth import Truth

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 10


class Curve(Frozen):
    """Forgetting over noise of one run, and the slope of the least-squares line through all images."""

    name: str
    model: str
    images: int
    line: Line
    slope: float


class Forgetting(Frozen):
    """A curve for every run."""

    unit: str
    curves: tuple[Curve, ...]
    notes: tuple[str, ...] = ()

    def rows(self) -> list[Row]:
        """Bins, then the slope."""
        return [row for curve in self.curves for row in (*curve.line.rows(), (curve.name, "slope", curve.slope))]


def forgetting(noise: F64, forgotten: F64, name: str, bins: int = BINS) -> tuple[Line, float]:
    """The curve of n f64[N] and f f64[N] (NaN left out), and its slope df/dn; 0 where all n are alike."""
    kept = np.isfinite(noise) & np.isfinite(forgotten)
    n, f = noise[kept], forgotten[kept]
    if len(n) == 0:
        raise MissingError(f"{name}: no image has a true label with its normaliser")
    groups = quantile_groups(n, bins)
    spread = float(((n - n.mean()) ** 2).sum())
    slope = float(((n - n.mean()) * (f - f.mean())).sum() / spread) if spread > 0 else 0.0
    return line(name, [n[g].mean() for g in groups], [f[g].mean() for g in groups]), slope


def curve_of(run: Run, truth: Truth) -> Curve:
    """From the pseudo-labels of round 0 to those of round 1."""
    used, final = truth.of(run, run.labels(0)), truth.of(run, run.labels(1))
    if used.samples != final.samples:
        raise MissingError(f"{run.name}: the pseudo-labels of rounds 0 and 1 are of different images")
    noise, forgotten = used.nme(used.pseudo, used.true), used.nme(final.pseudo, used.pseudo)
    curve, slope = forgetting(noise, forgotten, run.name)
    return Curve(name=run.name, model=run.model, images=len(used.samples), line=curve, slope=slope)


def make(inputs: Inputs) -> Forgetting:
    """A curve for every run that kept the pseudo-labels of rounds 0 and 1."""
    truth = inputs.needs_truth()
    curves, lacking = collect(lambda run: curve_of(run, truth), inputs.runs)
    return Forgetting(unit=inputs.runs[0].unit, curves=tuple(curves), notes=lacking)


def plot(result: Forgetting) -> Figure:
    """All curves; the legend has the slopes."""
    figure, (axes,) = canvas(1, width=6.0, height=4.2)
    named = [
        curve.line.model_copy(update={"name": f"{curve.name} ({curve.model}), slope {curve.slope:.2f}"})
        for curve in result.curves
    ]
    draw(axes, named, f"noise of the pseudo-label trained with, {result.unit}", f"forgetting, {result.unit}")
    axes.set_title(f"{BINS} bins of equal size, {result.curves[0].images} unlabelled images", fontsize=8)
    return figure
