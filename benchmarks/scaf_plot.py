"""Figure and picture of the SCAF benchmark."""

from __future__ import annotations

import csv
from pathlib import Path


def reconstruction(run: Path) -> float:
    """Mean absolute error of the auto-encoder's images in the last epoch of its training, grey levels."""
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        values = [row[3] for row in csv.reader(file) if row[0].startswith("autoencoder") and row[2] == "rec"]
    return float(values[-1])


def bars(nme: dict[str, float], file: Path) -> None:
    """A bar for each row: test NME in per cent."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 0.5 * len(nme) + 1), layout="constrained")
    axes = figure.add_subplot()
    drawn = axes.barh(list(nme), list(nme.values()), color="tab:blue")
    axes.bar_label(drawn, fmt="%.2f %%", padding=3)
    axes.set_xlim(0, 1.15 * max(nme.values()))
    axes.invert_yaxis()
    axes.set_xlabel("test NME, % of inter-ocular (image frame; reduced setting)")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
