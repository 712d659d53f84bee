"""The picture of the tracking benchmark: where the face is, and where raw and smoothed points say it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lmdeploy.types import F64

SHOWN_S = (1.0, 3.0)


def motions(tracks: Mapping[str, F64], file: Path) -> None:
    """Write a panel per motion; `tracks` holds f64[N,4]: time, truth, raw and smoothed place, face sizes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 2.2 * len(tracks)), layout="constrained")
    panels = figure.subplots(len(tracks), 2, squeeze=False, width_ratios=(2, 1))
    for (axes, zoomed), (name, track) in zip(panels, tracks.items(), strict=True):
        shown = track[(track[:, 0] >= SHOWN_S[0]) & (track[:, 0] <= SHOWN_S[1])]
        for column, (label, style) in enumerate(
            [("truth", {"color": "black"}), ("raw", {"color": "#dd6b20"}), ("smoothed", {"color": "#2b6cb0"})], 1
        ):
            axes.plot(shown[:, 0], shown[:, column] - track[0, 1], label=label, lw=1.2, **style)
            if column > 1:
                zoomed.plot(shown[:, 0], 100 * (shown[:, column] - shown[:, 1]), lw=1.0, **style)
        axes.set_title(name.replace("lag_", "").replace("_", "."), fontsize=9, loc="left")
        axes.set_ylabel("face sizes")
        zoomed.set_ylabel("minus truth, %")
        for one in (axes, zoomed):
            one.grid(alpha=0.3)
    panels[0, 0].legend(fontsize=8)
    for one in panels[-1]:
        one.set_xlabel("s")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=100)
