"""The picture of the accuracy benchmark: every row's NME, round by round, against the control."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import panels

HEADROOM = 1.03  # over the worst start: a row that breaks down leaves the picture, its figure stands in the legend


def bars(tables: dict[str, dict[str, Any]], file: Path) -> None:
    """Write one panel per case: a line over the rounds for each row, the supervised start and the control dashed."""

    def draw(axes: Any, key: str) -> None:
        labels, _, seed = key.partition("/")
        lines = {
            name: [value for stage, value in rounds.items() if not stage.endswith("pretrain")]
            for name, rounds in tables[key]["rounds"].items()
        }
        last = max(len(values) for values in lines.values()) - 1
        for name, values in lines.items():
            if name in {"supervised", "supervised_half", "control"}:
                style = {"supervised": ":", "supervised_half": (0, (1, 4)), "control": "--"}[name]
                axes.axhline(values[-1], color="black", linestyle=style, label=f"{name}: {values[-1]:.2f} %")
            else:
                at = range(len(values)) if len(values) > 1 else [last]  # a method without rounds has its end alone
                axes.plot(at, values, marker="o", label=f"{name}: {values[-1]:.2f} %")
        most = HEADROOM * max(values[0] for values in lines.values())
        least = min(min(values) for values in lines.values()) / HEADROOM
        axes.set_ylim(least, min(axes.get_ylim()[1], most))
        axes.set_xticks(range(last + 1))
        axes.set_title(f"{labels} labels, seed {seed}")
        axes.set_xlabel("round (0: the supervised start)")

    panels.write(tables, draw, file)
