"""A benchmark for people, on standard error: standard output is left to the JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from lmdeploy.benchmark.measure import STAGES, Watch
from lmdeploy.benchmark.report import Measured, Report, Times


@contextmanager
def watching() -> Iterator[Watch]:
    """A bar on standard error that is gone at the end; it takes what is done, how much of it, and of how much."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("benchmark", total=None)
        yield lambda what, done, total: bars.update(task, description=what, completed=done, total=total)


def print_report(report: Report) -> None:
    """Print every table."""
    console = Console(stderr=True)
    for table in report_tables(report):
        console.print(table)


def report_tables(report: Report) -> Iterator[Table]:
    """Frame to landmarks, its stages, faces a second, and the ways that do not work with their reasons."""
    yield _whole(report)
    yield _stages(report)
    yield _throughput(report)
    if report.failed:
        table = Table("way", "why it does not run here", title="not measured")
        same: dict[tuple[str, str], list[str]] = {}
        for one in report.failed:
            same.setdefault((f"{one.backend} {one.device}", one.reason), []).append(one.precision)
        for (engine, reason), precisions in same.items():
            table.add_row(f"{engine} {', '.join(precisions)}", escape(reason))
        yield table


def _whole(report: Report) -> Table:
    accurate = [way.accuracy for way in report.ways if way.accuracy]
    table = Table(
        title=f"{report.model} ({report.digest[:12]}) on {report.machine.cpu}, {report.machine.cores} cores, "
        f"{report.machine.memory}\n"
        f"one face of a {'x'.join(map(str, reversed(report.frame)))} frame, ms, median / 99 %",
        caption=f"faster: median and quartiles of {report.pairs} interleaved pairs; MB: peak of a process of its own",
    )
    _columns(table, ["box known", "box to be found", "faster", "MB", *(["NME, %"] if accurate else [])])
    for way in report.ways:
        nme = [f"{way.accuracy.nme:.3f}"] if way.accuracy else []
        table.add_row(way.title, _pair(way.known_box), _pair(way.found_box), _faster(way), _megabytes(way), *nme)
    if accurate:
        table.caption = f"{table.caption}; NME: of {accurate[0].normaliser}, {accurate[0].images} images, true boxes"
    return table


def _stages(report: Report) -> Table:
    stages = [stage for stage in STAGES if any(stage in way.stages for way in report.ways)]
    table = Table(title=f"stages, ms, median / 99 % (detector {report.detector})")
    _columns(table, [stage.replace("_", " ") for stage in stages])
    for way in report.ways:
        cells = [_pair(way.stages[stage]) if stage in way.stages else "-" for stage in stages]
        table.add_row(way.title, *cells)
    return table


def _throughput(report: Report) -> Table:
    table = Table(title="faces a second by faces in a frame, boxes known (ms of a frame)")
    _columns(table, [f"{batch.faces}" for batch in report.ways[0].batches])
    for way in report.ways:
        table.add_row(way.title, *(f"{b.faces_per_s:.0f} ({b.median_ms:.2f})" for b in way.batches))
    return table


def _columns(table: Table, names: Sequence[str]) -> None:
    table.add_column("runs on", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right")


def _pair(times: Times) -> str:
    return f"{times.median_ms:.2f} / {times.p99_ms:.2f}"


def _megabytes(way: Measured) -> str:
    return "unknown" if way.peak_mb is None else f"{way.peak_mb:.0f}"


def _faster(way: Measured) -> str:
    if way.speedup is None:
        return "1"
    low, high = way.speedup.quartiles
    return f"{way.speedup.median:.2f} ({low:.2f}-{high:.2f})"
