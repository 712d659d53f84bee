"""The picture of the Blocks benchmark: every network and variant at every share of labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.blocks_rows import RATIOS, TABLE_1, Cell


def bars(results: dict[Cell, dict[str, Any]], file: Path) -> None:
    """Write a panel per ratio: ours filled (mean over seeds, lines from least to most), the paper's hatched."""
    from matplotlib.figure import Figure

    ratios = [ratio for ratio in RATIOS if any(cell.ratio == ratio for cell in results)]
    figure = Figure(figsize=(9, 3.2 * len(ratios)), layout="constrained")
    panels = figure.subplots(len(ratios), 1, squeeze=False)[:, 0]
    for axes, ratio in zip(panels, ratios, strict=True):
        rows = [row for row in TABLE_1 if any((c.kind, c.variant, c.ratio) == (*row, ratio) for c in results)]
        for i, row in enumerate(rows):
            mine = [r["px"] for c, r in results.items() if (c.kind, c.variant, c.ratio) == (*row, ratio)]
            mean, published = float(np.mean(mine)), TABLE_1[row][RATIOS.index(ratio)] or 0.0
            spread = [[mean - min(mine)], [max(mine) - mean]]
            axes.barh(i - 0.2, mean, 0.38, xerr=spread, color="#2b6cb0", label="here" if i == 0 else None)
            paper = "paper" if i == 0 else None
            axes.barh(i + 0.2, published, 0.38, facecolor="#e2e8f0", edgecolor="#4a5568", hatch="//", label=paper)
            axes.text(max(mine) + 0.1, i - 0.2, f"{mean:.2f}", va="center", fontsize=8)
            axes.text(published + 0.1, i + 0.2, f"{published:.2f}", va="center", fontsize=8)
        axes.set_yticks(range(len(rows)), [f"{kind} ({variant})" for kind, variant in rows])
        axes.invert_yaxis()
        axes.set_title(f"{ratio} % of the images with landmarks")
        axes.set_xlabel("mean distance, px of the 60 px image")
        axes.grid(axis="x", alpha=0.3)
        axes.legend(fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
