"""Doctor's report for people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from lmdeploy.doctor import Report


def print_report(report: Report) -> None:
    """Print the tables on standard error; standard output is left to the JSON."""
    console = Console(stderr=True)
    for table in report_tables(report):
        console.print(table)


def trying() -> Status:
    """A spinner on standard error for as long as the `with` block lasts; nothing where that is no terminal."""
    return Console(stderr=True).status("trying a tiny graph on every engine ...")


def report_tables(report: Report) -> Iterator[Table]:
    """Versions, engines, loaded libraries, and what could be installed."""
    table = Table("package", "version", title=f"{report.machine}, {report.threads} threads a network")
    for name, version in report.versions.items():
        if version:
            table.add_row(name, version)
    table.add_row("GPU", escape(report.gpu))
    yield table
    table = Table("engine", "", "what ran, or why it does not and what to do", title="a tiny graph on every engine")
    for trial in report.trials:
        table.add_row(trial.engine, "works" if trial.works else "no", escape(trial.provider or trial.problem))
    yield table
    table = Table("library", "loaded from", title="libraries that the engines loaded")
    for path in sorted({path for trial in report.trials for path in trial.libraries}):
        table.add_row(PurePath(path).name, escape(str(PurePath(path).parent)))
    yield table
    if report.missing:
        table = Table("not installed", "to get it", title="optional packages")
        for name, advice in report.missing.items():
            table.add_row(name, escape(advice))
        yield table
