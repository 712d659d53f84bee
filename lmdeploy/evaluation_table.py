"""An evaluation for people: a table that always says normaliser, frame, images, boxes and provider."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.status import Status
from rich.table import Table

from lmdeploy.evaluate import Evaluation


def print_evaluation(result: Evaluation, names: Sequence[str]) -> None:
    """Print the table on standard error; standard output is left to the JSON."""
    Console(stderr=True).print(evaluation_table(result, names))


def working() -> Status:
    """A spinner on standard error for as long as the `with` block lasts; nothing where that is no terminal."""
    return Console(stderr=True).status("reading, finding faces, predicting ...")


def evaluation_table(result: Evaluation, names: Sequence[str]) -> Table:
    """A rich table of one evaluation; `names` are the K landmark names of its schema."""
    unit = f"% of {result.normaliser}"
    table = Table(title=f"{result.model} ({result.digest[:12]})", show_header=False)
    low, high = result.nme_ci
    rows = [
        ("NME", f"{result.nme:.3f} {unit} (95 % interval {low:.3f} to {high:.3f})"),
        ("FR", f"{result.fr:.2f} % of images above {result.threshold:g} {unit}"),
        ("AUC", f"{result.auc:.4f} up to {result.threshold:g} {unit}"),
        ("normaliser", result.normaliser),
        ("frame", result.frame),
        ("images", f"{result.images} measured, {result.dropped} dropped"),
        ("boxes", result.boxes),
        ("provider", result.provider),
    ]
    for name, text in rows + _more(result, unit) + _groups(result.per_landmark, names):
        table.add_row(name, text)
    return table


def _groups(per_landmark: Sequence[float | None], names: Sequence[str]) -> list[tuple[str, str]]:
    """Every landmark's error in per cent, one row for the points whose names differ only in their number."""
    rows: dict[str, list[str]] = {}
    for value, name in zip(per_landmark, names, strict=True):
        stem, _, number = name.rpartition("_")
        rows.setdefault(stem if number.isdigit() else name, []).append("-" if value is None else f"{value:.1f}")
    return [(stem, " ".join(values)) for stem, values in rows.items()]


def _more(result: Evaluation, unit: str) -> list[tuple[str, str]]:
    rows = []
    if result.nme_51 is not None:
        rows.append(("NME of 51 points", f"{result.nme_51:.3f} {unit} (without the jaw)"))
    if result.mre_mm is not None:
        rows.append(("MRE", f"{result.mre_mm:.3f} mm"))
    if result.sdr is not None:
        rows.append(
            ("SDR", ", ".join(f"{100 * rate:.1f} % within {radius} mm" for radius, rate in result.sdr.items()))
        )
    return rows
