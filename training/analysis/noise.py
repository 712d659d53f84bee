"""Test error and pseudo-label noise over the rounds (STLD, III-C, Fig. 3).

    noise_t = mean over unlabelled images of NME(pseudo-labels of round t, hidden true labels)

Noise is in per cent of the run's normaliser and in its frame (the test figures say their own).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.analysis.figure import Frozen, Inputs, Line, Row, canvas, collect, draw, line
from training.analysis.run import MissingError, Run
from training.analysis.truth import Truth

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Curve(Frozen):
    """One run; both lines have the round as x. test is empty where the run measured none."""

    name: str
    images: int
    noise: Line
    test: Line
    test_of: str


class Noise(Frozen):
    """All runs, and what other runs lacked."""

    unit: str
    curves: tuple[Curve, ...]
    notes: tuple[str, ...] = ()

    def rows(self) -> list[Row]:
        """Noise and test error of every round."""
        return [
            row
            for curve in self.curves
            for row in (*curve.noise.rows("pseudo-label noise, "), *curve.test.rows("test NME, "))
        ]


def make(inputs: Inputs) -> Noise:
    """One curve for every run that kept pseudo-labels."""
    truth = inputs.needs_truth()
    curves, lacking = collect(lambda run: curve_of(run, truth), inputs.runs)
    return Noise(unit=inputs.runs[0].unit, curves=tuple(curves), notes=lacking)


def curve_of(run: Run, truth: Truth) -> Curve:
    """Noise of every saved round of a run; MissingError when it saved none."""
    rounds = run.label_rounds()
    if not rounds:
        raise MissingError(f"{run.name}: no pseudo-labels (pseudo/round<t>/landmarks.csv)")
    found = [truth.of(run, run.labels(t)) for t in rounds]
    noise = [float(np.nanmean(of.nme(of.pseudo, of.true))) for of in found]
    tests = run.tests()
    of = ", ".join(sorted({f"{t.normaliser}, {t.frame} frame, {t.images} images" for t in tests.values()}))
    test = line(run.name, list(tests), [t.nme for t in tests.values()])
    return Curve(
        name=run.name, images=len(found[0].samples), noise=line(run.name, rounds, noise), test=test, test_of=of
    )


def plot(result: Noise) -> Figure:
    """Test NME (a) and pseudo-label noise (b) over the rounds."""
    figure, (left, right) = canvas(2)
    tested = [curve for curve in result.curves if curve.test.x]
    draw(left, [curve.test for curve in tested], "round", "test NME, %")
    draw(
        right,
        [curve.noise for curve in result.curves],
        "round that gave the labels",
        "NME of pseudo-labels, %",
    )
    left.set_title("\n".join(sorted({curve.test_of for curve in tested})) or "no test figures", fontsize=8)
    images = " / ".join(sorted({str(curve.images) for curve in result.curves}))
    right.set_title(f"{result.unit}, {images} unlabelled images", fontsize=8)
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure
