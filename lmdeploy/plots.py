"""Pictures of an evaluation: the cumulative error curve and a sheet of the worst cases (extra `plots`)."""

from __future__ import annotations

import math
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lmdeploy import metrics
from lmdeploy.atomic import write_file
from lmdeploy.errors import MissingExtraError
from lmdeploy.evaluate import Evaluation, scaled_errors
from lmdeploy.outcome import Outcome
from lmdeploy.types import F64

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORST = 12
COLUMNS = 4
TRUE_COLOUR, PREDICTED_COLOUR = "#30d158", "#ff3b30"


def write_plots(outcome: Outcome, result: Evaluation, folder: Path) -> list[Path]:
    """Write ced.png and worst.png for an outcome and its figures into `folder`; returns their paths."""
    rule = metrics.normaliser_of(outcome.model.spec.landmarks, result.normaliser)
    nme = metrics.mean_of_seen(scaled_errors(outcome, result.frame, rule), axis=1)
    figures = {"ced.png": ced_figure(nme, result), "worst.png": worst_figure(outcome, nme, result)}
    for name, figure in figures.items():
        write_png(figure, folder / name)
    return [folder / name for name in figures]


def write_png(figure: Figure, file: Path) -> None:
    """Write a picture, whole or not at all."""
    drawn = BytesIO()
    figure.savefig(drawn, dpi=110, format="png")
    write_file(file, drawn.getvalue())


def ced_figure(nme: F64, result: Evaluation) -> Figure:
    """Fraction of images over their NME, with the area that AUC measures filled. nme: f64[N], a fraction."""
    figure = figure_class()(figsize=(6, 4.2), layout="constrained")
    axes: Any = figure.add_subplot()
    across = np.linspace(0, 1.5 * result.threshold / 100, 601)
    curve = metrics.ced(nme, across)
    inside = across <= result.threshold / 100
    axes.plot(100 * across, 100 * curve, color="#0a5fd0", linewidth=1.8)
    axes.fill_between(100 * across[inside], 100 * curve[inside], color="#0a5fd0", alpha=0.12)
    axes.axvline(result.threshold, color="0.5", linewidth=0.8, linestyle="--")
    axes.set(xlim=(0, 1.5 * result.threshold), ylim=(0, 101), ylabel="images, %")
    axes.set_xlabel(f"NME, % of {result.normaliser} ({result.frame} frame)")
    axes.set_title(
        f"{result.model}: NME {result.nme:.2f} %, AUC {result.auc:.3f}, FR {result.fr:.1f} % at "
        f"{result.threshold:g} %\n{result.images} images, boxes: {result.boxes}",
        fontsize=9,
    )
    axes.grid(alpha=0.25)
    return figure


def worst_figure(outcome: Outcome, nme: F64, result: Evaluation) -> Figure:
    """The crops of the largest errors with true (green) and predicted (red) points."""
    order = np.argsort(-np.nan_to_num(nme, nan=-1.0))[: min(WORST, int(np.isfinite(nme).sum()))]
    rows = math.ceil(len(order) / COLUMNS)
    figure = figure_class()(figsize=(2.6 * COLUMNS, 2.9 * rows + 0.5), layout="constrained")
    truth_crop, pred_crop = outcome.to_crop(outcome.truth_image), outcome.to_crop(outcome.points_image)
    for place, index in enumerate(order, start=1):
        axes: Any = figure.add_subplot(rows, COLUMNS, place)
        axes.imshow(outcome.crop(int(index)))
        axes.plot(*truth_crop[index].T, ".", color=TRUE_COLOUR, markersize=3)
        axes.plot(*pred_crop[index].T, ".", color=PREDICTED_COLOUR, markersize=3)
        axes.set_title(f"{100 * nme[index]:.1f} %  {outcome.samples[index].name}", fontsize=7)
        axes.set_axis_off()
    figure.suptitle(f"Largest errors, % of {result.normaliser}: green true, red predicted", fontsize=9)
    return figure


def figure_class() -> type[Figure]:
    """The Figure class itself: without pyplot there is no global state and no window."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError("plots need matplotlib: pip install 'landmark-deploy[plots]'") from error
    return Figure
