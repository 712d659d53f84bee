"""The picture of the tracking benchmark: where the face is, and where raw and smoothed points say it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lmdeploy.types import F64

SHOWN_S = (1.0, 3.0)
COLOURS = {"truth": "black", "raw": "#dd6b20", "smoothed": "#2b6cb0"}
Rows = list[list[float]]


def shown(track: F64) -> Rows:
    """What of f64[N,4] (time, s; truth, raw and smoothed place, face sizes) is drawn; places from the first truth."""
    part = track[(track[:, 0] >= SHOWN_S[0]) & (track[:, 0] <= SHOWN_S[1])] - [0, *3 * [track[0, 1]]]
    return np.round(part, 5).tolist()  # type: ignore[no-any-return]  # numpy types tolist as Any


def title(name: str) -> str:
    """Of a motion, from the name of its lag: `lag_sine_0_5` is a sine of 0.5 Hz."""
    number = name.removeprefix("lag_").removeprefix("sine_").replace("_", ".")
    return f"sine, {number} Hz" if "sine" in name else f"to and fro, {number} face sizes a second"


def motions(tracks: Mapping[str, Rows], file: Path) -> None:
    """Write a panel per motion; `tracks` holds what `shown` gives."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 2.2 * len(tracks)), layout="constrained")
    panels = figure.subplots(len(tracks), 2, squeeze=False, width_ratios=(2, 1))
    for (axes, zoomed), (name, track) in zip(panels, tracks.items(), strict=True):
        time_s, *places = np.array(track).T
        truth = places[0]
        for place, (label, colour) in zip(places, COLOURS.items(), strict=True):
            axes.plot(time_s, place, label=label, lw=1.2, color=colour)
            if place is not truth:
                zoomed.plot(time_s, 100 * (place - truth), lw=1.0, color=colour)
        axes.set_title(title(name), fontsize=9, loc="left")
        axes.set_ylabel("place, face sizes", fontsize=8)
        zoomed.set_ylabel("minus truth, % of a size", fontsize=8)
        for one in (axes, zoomed):
            one.grid(alpha=0.3)
    panels[0, 0].legend(fontsize=8)
    for one in panels[-1]:
        one.set_xlabel("time, s")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=100)
