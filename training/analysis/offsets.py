"""Where pseudo-labels lie relative to the truth: 2-D histograms of their offsets (STLD, IV-B, Fig. 4).

    (dx, dy) = pseudo - GT, px of the 256 px crop, over all landmarks of all unlabelled images of round 0

The paper's range and colour scale are not stated: fixed at +-20 px, logarithmic colours, both said with the figure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lmdeploy.types import F64, Array
from training.analysis.figure import Frozen, Inputs, Row, canvas, collect
from training.analysis.run import Run
from training.analysis.truth import Truth

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIMIT = 20.0  # px of the 256 px crop
BINS = 81  # odd, so that one bin is centred at 0


class Panel(Frozen):
    """Offsets of one run. counts[row][column]: dy bins, then dx bins; outside: share beyond the range."""

    name: str
    model: str
    labelled_images: int
    points: int
    counts: tuple[tuple[int, ...], ...]
    outside: float
    mean: tuple[float, float]
    median: tuple[float, float]
    std: tuple[float, float]
    peak: tuple[float, float]


class Offsets(Frozen):
    """A panel for every run."""

    limit: float = LIMIT
    panels: tuple[Panel, ...]
    notes: tuple[str, ...] = ()

    def rows(self) -> list[Row]:
        """Centre and spread of every panel."""
        found: list[Row] = []
        for panel in self.panels:
            for what in ("mean", "median", "std", "peak"):
                found += [
                    (panel.name, f"{what} {axis}, px", v) for axis, v in zip("xy", getattr(panel, what), strict=True)
                ]
            found.append((panel.name, "share outside", panel.outside))
        return found


def offsets(pseudo_crop: Array, true_crop: Array) -> F64:
    """Offsets f64[M,2] (dx, dy) of all points f[N,K,2] whose truth is annotated."""
    gap = np.asarray(pseudo_crop, np.float64) - true_crop
    return gap[np.isfinite(gap).all(axis=2)]


def histogram(gaps: F64, limit: float = LIMIT, bins: int = BINS) -> F64:
    """Counts f64[bins,bins] (dy, dx) of offsets f64[M,2] within +-limit px; what lies beyond is left out."""
    edges = np.linspace(-limit, limit, bins + 1)
    counts, _, _ = np.histogram2d(gaps[:, 1], gaps[:, 0], bins=(edges, edges))
    return np.asarray(counts, np.float64)


def panel_of(run: Run, truth: Truth) -> Panel:
    """Offsets of a run's first pseudo-labels."""
    found = truth.of(run, run.labels(0))
    gaps = offsets(found.to_crop(found.pseudo), found.to_crop(found.true))
    counts = histogram(gaps)
    step = 2 * LIMIT / BINS
    top = np.unravel_index(int(counts.argmax()), counts.shape)
    peak = tuple(float(-LIMIT + (cell + 0.5) * step) for cell in (top[1], top[0]))
    return Panel(
        name=run.name,
        model=run.model,
        labelled_images=run.labelled_images,
        points=len(gaps),
        counts=tuple(tuple(int(v) for v in row) for row in counts),
        outside=1 - float(counts.sum()) / len(gaps),
        mean=_pair(gaps.mean(axis=0)),
        median=_pair(np.median(gaps, axis=0)),
        std=_pair(gaps.std(axis=0)),
        peak=(peak[0], peak[1]),
    )


def make(inputs: Inputs) -> Offsets:
    """A panel for every run that kept pseudo-labels of round 0."""
    truth = inputs.needs_truth()
    panels, lacking = collect(lambda run: panel_of(run, truth), inputs.runs)
    return Offsets(panels=tuple(panels), notes=lacking)


def plot(result: Offsets) -> Figure:
    """The histograms side by side, one colour scale for all."""
    from matplotlib.colors import LogNorm

    figure, axes = canvas(len(result.panels), width=4.2, height=4.2)
    top = max(max(map(max, panel.counts)) for panel in result.panels)
    drawn: Any = None
    for at, panel in zip(axes, result.panels, strict=True):
        extent = (-result.limit, result.limit, result.limit, -result.limit)
        drawn = at.imshow(panel.counts, norm=LogNorm(1, max(top, 2)), extent=extent, cmap="magma")
        at.set_facecolor("black")
        at.axhline(0, color="w", linewidth=0.4)
        at.axvline(0, color="w", linewidth=0.4)
        at.set(xlabel="dx, px of the 256 px crop", ylabel="dy")
        at.set_title(
            f"{panel.name} ({panel.model}, {panel.labelled_images} labelled)\n{panel.points} points, "
            f"{100 * panel.outside:.2f} % outside, peak ({panel.peak[0]:.1f}, {panel.peak[1]:.1f})",
            fontsize=8,
        )
    figure.colorbar(drawn, ax=axes, label="points per bin", shrink=0.8)
    return figure


def _pair(values: F64) -> tuple[float, float]:
    return float(values[0]), float(values[1])
