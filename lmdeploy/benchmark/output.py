"""Where a benchmark's report goes; each file is there whole or not at all."""

from __future__ import annotations

import sys
from pathlib import Path

from lmdeploy.atomic import check_file, write_file
from lmdeploy.benchmark.plot import write_plot
from lmdeploy.benchmark.report import Report
from lmdeploy.errors import InputError
from lmdeploy.plots import figure_class


def check_outputs(json_to: str | None, plot: Path | None) -> None:
    """Refuse before minutes of measuring what could not be written after them."""
    if plot is not None:
        figure_class()
        if plot.suffix.lower() != ".png":
            raise InputError(f"{plot} is no name of a picture: give --plot FILE.png")
    for path in (plot, Path(json_to) if json_to not in (None, "-") else None):
        if path is not None:
            check_file(path)


def write_outputs(report: Report, json_to: str | None, plot: Path | None) -> None:
    """JSON to a file, or for `-` to standard output, and a picture."""
    if json_to == "-":
        sys.stdout.write(report.to_json())
    elif json_to:
        write_file(json_to, report.to_json().encode())
    if plot is not None:
        write_plot(report, plot)
