"""Pictures of test NME: one panel below the other, each with its legend beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Draw = Callable[[Any, str], None]
"""(matplotlib axes, key of the panel): draws the panel's lines and says what its axes are."""


def write(keys: Iterable[str], draw: Draw, file: Path) -> None:
    """Write a panel for each key."""
    from matplotlib.figure import Figure

    names = list(keys)
    figure = Figure(figsize=(7, 3.6 * len(names)), layout="constrained")
    panels = figure.subplots(len(names), 1, squeeze=False)[:, 0]
    for axes, name in zip(panels, names, strict=True):
        draw(axes, name)
        axes.set_ylabel("test NME, %")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
