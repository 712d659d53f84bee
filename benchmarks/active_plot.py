"""The picture of the active-learning benchmark: test NME over the number of labels, a line a strategy."""

from __future__ import annotations

from pathlib import Path


def curves(tables: dict[str, dict[str, dict[str, float]]], file: Path) -> None:
    """Write one panel per seed of {seed: {row: {labels: NME in per cent}}}; random choice is dashed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.6 * len(tables)), layout="constrained")
    panels = figure.subplots(len(tables), 1, squeeze=False)[:, 0]
    for axes, (seed, rows) in zip(panels, tables.items(), strict=True):
        for row, curve in rows.items():
            labels, values = [int(count) for count in curve], list(curve.values())
            style = {"color": "black", "linestyle": "--"} if row == "random" else {"marker": "o"}
            axes.plot(labels, values, label=f"{row}: {values[-1]:.2f} %", **style)
        axes.set_title(f"seed {seed}")
        axes.set_xlabel("labelled images")
        axes.set_ylabel("test NME, %")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
