"""A benchmark as one picture: latency by stage, throughput, memory, and accuracy where it was measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmdeploy.benchmark.report import Report
from lmdeploy.plots import figure_class, write_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WAYS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d31")
STAGES = {"crop": "#bdbdbd", "network": "#0a5fd0", "back_map": "#636363"}


def write_plot(report: Report, file: Path) -> None:
    """Write the picture as PNG, whole or not at all; MissingExtraError without matplotlib."""
    write_png(report_figure(report), file)


def report_figure(report: Report) -> Figure:
    """Two by two panels; the last one is left out without accuracy."""
    figure = figure_class()(figsize=(12.5, 3.2 + 0.42 * len(report.ways) * 2), layout="constrained")
    _latency(figure.add_subplot(2, 2, 1), report)
    _throughput(figure.add_subplot(2, 2, 2), report)
    if any(way.peak_mb for way in report.ways):
        _memory(figure.add_subplot(2, 2, 3), report)
    if any(way.accuracy for way in report.ways):
        _accuracy(figure.add_subplot(2, 2, 4), report)
    machine = report.machine
    figure.suptitle(
        f"{report.model} on {machine.cpu}, {machine.cores} cores{' (quick)' if report.quick else ''}", fontsize=10
    )
    return figure


def _names(axes: Any, report: Report) -> None:
    axes.set_yticks(range(len(report.ways)), [way.title for way in report.ways], fontsize=8)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.25)


def _legend(axes: Any) -> None:
    """Above the panel: bars reach everywhere inside it."""
    axes.legend(fontsize=7, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False)


def _latency(axes: Any, report: Report) -> None:
    for row, way in enumerate(report.ways):
        left = 0.0
        for stage, colour in STAGES.items():
            if stage in way.stages:
                ms = way.stages[stage].median_ms
                axes.barh(row, ms, left=left, color=colour, label=stage.replace("_", " ") if row == 0 else None)
                left += ms
        axes.plot(way.known_box.p99_ms, row, "|", color="black", markersize=11, label="99 %" if row == 0 else None)
        label = f" {way.known_box.median_ms:.2f} / {way.known_box.p99_ms:.2f}"
        axes.annotate(label, (max(left, way.known_box.p99_ms), row), va="center", fontsize=8)
    _names(axes, report)
    axes.set_xlim(0, 1.5 * max(way.known_box.p99_ms for way in report.ways))
    axes.set_xlabel(
        "ms, frame and box to landmarks: medians by stage; numbers are median / 99 % of the whole", fontsize=8
    )
    _legend(axes)


def _throughput(axes: Any, report: Report) -> None:
    for index, way in enumerate(report.ways):
        faces = [str(batch.faces) for batch in way.batches]
        rates = [batch.faces_per_s for batch in way.batches]
        axes.plot(faces, rates, "o-", color=WAYS[index % len(WAYS)], markersize=4, label=way.title)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("faces in a frame", fontsize=8)
    axes.set_ylabel("faces a second", fontsize=8)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


def _memory(axes: Any, report: Report) -> None:
    peaks = [way.peak_mb or 0.0 for way in report.ways]
    for row, (way, peak_mb) in enumerate(zip(report.ways, peaks, strict=True)):
        first, start_mb = row == 0, way.start_mb or 0.0
        axes.barh(row, start_mb, color="#bdbdbd", label="before the model" if first else None)
        axes.barh(row, peak_mb - start_mb, left=start_mb, color="#0a5fd0", label="the way's own" if first else None)
        axes.annotate(f" {peak_mb:.0f}", (peak_mb, row), va="center", fontsize=8)
    _names(axes, report)
    axes.set_xlim(0, 1.15 * max(peaks))
    axes.set_xlabel("peak resident memory of a process of its own, MB", fontsize=8)
    _legend(axes)


def _accuracy(axes: Any, report: Report) -> None:
    values = [(row, way.accuracy) for row, way in enumerate(report.ways) if way.accuracy]
    for row, accuracy in values:
        axes.barh(row, accuracy.nme, color="#0a5fd0")
        axes.annotate(f" {accuracy.nme:.3f}", (accuracy.nme, row), va="center", fontsize=8)
    _names(axes, report)
    first = values[0][1]
    axes.set_xlim(0, 1.15 * max(accuracy.nme for _, accuracy in values))
    axes.set_xlabel(f"NME, % of {first.normaliser}, {first.images} images", fontsize=8)
