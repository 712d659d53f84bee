"""What a figure is made from, the form of its numbers, and how its curves are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict

from lmdeploy.plots import figure_class
from lmdeploy.types import Array
from training.analysis.run import MissingError, Run
from training.analysis.truth import Truth

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = tuple[str, str, float]
"""(series, x, value): one number of a figure."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The runs given, and the true labels of their unlabelled images where --data names them."""

    runs: tuple[Run, ...]
    truth: Truth | None

    def needs_truth(self) -> Truth:
        """The true labels; MissingError without."""
        if self.truth is None:
            raise MissingError("give --data, the true labels of the images that counted as unlabelled")
        return self.truth


class Frozen(BaseModel):
    """Base of all results: immutable numbers that go to JSON as they are."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Result(Protocol):
    """The numbers of one figure."""

    def rows(self) -> list[Row]:
        """The same numbers in long form, for a CSV."""

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """The same numbers as a dictionary, for a JSON."""


class Spec(NamedTuple):
    """Where a figure stands in the paper, inputs -> result (MissingError says what lacks), result -> picture."""

    paper: str
    make: Callable[[Inputs], Any]
    plot: Callable[[Any], Figure]


class Line(Frozen):
    """A named curve."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]

    def rows(self, prefix: str = "") -> list[Row]:
        """Its points in long form."""
        return [(prefix + self.name, f"{x:g}", y) for x, y in zip(self.x, self.y, strict=True)]


def line(name: str, x: Sequence[float] | Array, y: Sequence[float] | Array) -> Line:
    """A Line of any numbers."""
    return Line(name=name, x=tuple(map(float, x)), y=tuple(map(float, y)))


def canvas(columns: int, rows: int = 1, width: float = 5.0, height: float = 3.9) -> tuple[Figure, list[Any]]:
    """An empty picture and its axes, row by row."""
    figure = figure_class()(figsize=(width * columns, height * rows), layout="constrained")
    return figure, list(np.ravel(figure.subplots(rows, columns, squeeze=False)))


def draw(axes: Any, lines: Sequence[Line], x: str, y: str) -> None:
    """Curves with markers, a legend where there is more than one, a light grid."""
    for of in lines:
        axes.plot(of.x, of.y, marker="o", markersize=4, linewidth=1.6, label=of.name)
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.25)
    if lines:
        axes.legend(fontsize=8)


def label_counts(axes: Any, lines: Sequence[Line]) -> None:
    """A logarithmic axis with a tick at every x of the curves, which are numbers of images."""
    numbers = sorted({x for of in lines for x in of.x})
    axes.set_xscale("log")
    axes.set_xticks(numbers, [f"{x:g}" for x in numbers])
    axes.minorticks_off()


def collect(make: Callable[[Run], Any], runs: Sequence[Run]) -> tuple[list[Any], tuple[str, ...]]:
    """What `make` gives for each run, and why it gives nothing for others; MissingError when it never gives any."""
    found, lacking = [], []
    for run in runs:
        try:
            found.append(make(run))
        except MissingError as error:
            lacking.append(str(error))
    if not found:
        raise MissingError("; ".join(lacking))
    return found, tuple(lacking)
