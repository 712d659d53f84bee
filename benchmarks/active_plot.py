"""The picture of the active-learning benchmark: test NME over the number of labels, a line a strategy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import panels


def curves(tables: dict[str, dict[str, dict[str, float]]], file: Path) -> None:
    """Write one panel per seed of {seed: {row: {labels: NME in per cent}}}; random choice is dashed."""

    def draw(axes: Any, seed: str) -> None:
        for row, curve in tables[seed].items():
            labels, values = [int(count) for count in curve], list(curve.values())
            style = {"color": "black", "linestyle": "--"} if row == "random" else {"marker": "o"}
            axes.plot(labels, values, label=f"{row}: {values[-1]:.2f} %", **style)
        axes.set_title(f"seed {seed}")
        axes.set_xlabel("labelled images")

    panels.write(tables, draw, file)
