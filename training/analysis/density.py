"""Label density and its divergence from the truth (STLD, III-B, Fig. 2).

    P_k[b]   share of landmark k's points in bin b of 12 x 12 over the 256 px crop;  bin = floor(c 12 / 256), clamped
    KL_k     = sum_b P_k[b] ln(P_k[b] / max(Q_k[b], floor))      P: unlabelled GT (anchor), Q: a group

Groups: labelled GT, pseudo-labels of round 0 with confidence >= tau, all of them.

The paper states neither direction nor what happens to empty bins, and they decide the value: KL(anchor || group) with
natural logarithm and empty bins of the group at 2.2e-16, and a second value at 1e-8, both printed with the floor.
The floor adds up to 144 floor of mass, so a value may fall below 0 by as much.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lmdeploy.errors import InputError
from lmdeploy.types import F32, F64, Array
from training.analysis.figure import Frozen, Inputs, Row, canvas
from training.analysis.run import MissingError, Run
from training.analysis.truth import SIDE, crop_boxes, in_crop, points_of
from training.data import published
from training.data.pools import read_pools

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 12
FLOOR = 2.2e-16
FLOOR_AGAIN = 1e-8
TAU = 0.4  # confidence of the paper's confident subset
SHOWN = (64, 56)  # landmarks that the paper draws
ANCHOR = "unlabelled GT"


class Group(Frozen):
    """A group's divergence from the anchor: mean over landmarks at both floors, and each landmark's at the first.

    maps: the bins of the landmarks shown, rows are y.
    """

    name: str
    images: int
    kl: float
    kl_again: float
    per_landmark: tuple[float, ...]
    maps: tuple[tuple[tuple[float, ...], ...], ...]


class Density(Frozen):
    """All groups of one run, the anchor first (its divergence from itself is 0)."""

    run: str
    floor: float = FLOOR
    floor_again: float = FLOOR_AGAIN
    tau: float = TAU
    shown: tuple[int, ...]
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()

    def rows(self) -> list[Row]:
        """KL of every group, on average and of the landmarks shown."""
        found: list[Row] = []
        for group in self.groups:
            found += [(group.name, f"mean, floor {self.floor:g}", group.kl)]
            found += [(group.name, f"mean, floor {self.floor_again:g}", group.kl_again)]
            found += [(group.name, f"landmark {k}", group.per_landmark[k]) for k in self.shown]
        return found


def density(points_crop: Array, bins: int = BINS, side: int = SIDE) -> F64:
    """Shares f64[K,bins,bins] (y, x) of points f[N,K,2] (crop px); NaN does not count, none at all gives NaN."""
    landmarks = points_crop.shape[1]
    counts = np.zeros((landmarks, bins, bins))
    _, k = np.nonzero(np.isfinite(points_crop).all(axis=2))
    seen = points_crop[np.isfinite(points_crop).all(axis=2)]
    cell = np.clip(np.floor(seen * bins / side), 0, bins - 1).astype(int)
    np.add.at(counts, (k, cell[:, 1], cell[:, 0]), 1)
    total = counts.sum(axis=(1, 2), keepdims=True)
    return counts / np.where(total > 0, total, np.nan)


def divergence(anchor: F64, group: F64, floor: float = FLOOR) -> F64:
    """KL_k f64[K] of shares f64[K,b,b], nats; NaN for a landmark that either lacks."""
    ratio = np.where(anchor > 0, anchor, 1.0) / np.where(anchor > 0, np.maximum(group, floor), 1.0)
    known = np.isfinite(group).all(axis=(1, 2))
    found: F64 = np.where(known, (anchor * np.log(ratio)).sum(axis=(1, 2)), np.nan)
    return found


def compare(run: str, groups: dict[str, Array], notes: tuple[str, ...] = ()) -> Density:
    """The figure of groups of points f[N,K,2] (crop px); the first is the anchor."""
    shares = {name: density(points) for name, points in groups.items()}
    anchor = next(iter(shares.values()))
    shown = tuple(k for k in SHOWN if k < len(anchor)) or (0,)
    found = []
    for name, share in shares.items():
        each, again = divergence(anchor, share), divergence(anchor, share, FLOOR_AGAIN)
        maps = tuple(tuple(tuple(map(float, row)) for row in share[k]) for k in shown)
        mean, mean_again = float(np.nanmean(each)), float(np.nanmean(again))
        found.append(
            Group(
                name=name, images=len(groups[name]), kl=mean, kl_again=mean_again, per_landmark=tuple(each), maps=maps
            )
        )
    return Density(run=run, shown=shown, groups=tuple(found), notes=notes)


def make(inputs: Inputs) -> Density:
    """Of the first run that kept pseudo-labels of round 0."""
    truth = inputs.needs_truth()
    run = next((run for run in inputs.runs if 0 in run.label_rounds()), None)
    if run is None:
        raise MissingError("no run has pseudo-labels of round 0 (pseudo/round0/landmarks.csv)")
    found, notes = truth.of(run, run.labels(0)), []
    groups: dict[str, Array] = {ANCHOR: found.to_crop(found.true)}
    try:
        groups["labelled GT"] = labelled_points(run)
    except InputError as error:
        notes.append(f"no group of labelled images: {error}")
    pseudo = found.to_crop(found.pseudo)
    confident = None if found.score is None else found.score >= TAU
    if confident is None:
        notes.append(f"no confident group: {run.name} kept no score of its pseudo-labels; train again")
    elif not confident.any():
        notes.append(f"no confident group: no image of {run.name} has a confidence of {TAU} or more")
    else:
        groups[f"pseudo, confidence >= {TAU}"] = pseudo[confident]
    groups["all pseudo"] = pseudo
    return compare(run.name, groups, tuple(notes))


def labelled_points(run: Run) -> F32:
    """Points f32[N,K,2] (256 px crop) of the images that the run trained on as labelled, read from its --data."""
    about, data = run.about(), run.data
    root, labelled, seed = Path(about["data"]), about["labelled"], int(about["seed"])
    if data is None:
        samples = read_pools(root, labelled, (), run.spec.landmarks, seed).labelled
    else:
        samples = published.gather(data, published.Copies(root, labelled=labelled), seed)[0].labelled
    return in_crop(points_of(samples), crop_boxes(samples, data is not None), run.spec.crop)


def plot(result: Density) -> Figure:
    """Density maps of the landmarks shown (a), a row a landmark, and the divergences (b) beside them."""
    columns = len(result.groups) + 1
    figure, axes = canvas(columns, len(result.shown), width=2.6, height=2.7)
    for row, k in enumerate(result.shown):
        for column, group in enumerate(result.groups):
            at: Any = axes[row * columns + column]
            at.imshow(group.maps[row], cmap="viridis", extent=(0, SIDE, SIDE, 0))
            at.set_title(f"{group.name} ({group.images})\nlandmark {k}, KL {group.per_landmark[k]:.2f}", fontsize=8)
            at.set(xticks=(), yticks=())
    for row in range(len(result.shown)):
        _bars(axes[row * columns + columns - 1], result, None if row == 0 else result.shown[row])
    figure.suptitle(
        f"{result.run}: label density in the 256 px crop; KL(unlabelled GT || group), nats, floor {result.floor:g}",
        fontsize=9,
    )
    return figure


def _bars(axes: Any, result: Density, k: int | None) -> None:
    groups = result.groups[1:]
    values = [group.kl if k is None else group.per_landmark[k] for group in groups]
    bars = axes.bar(range(len(groups)), values, color=["#0a5fd0", "#ff9f0a", "#30d158"][: len(groups)])
    axes.bar_label(bars, fmt="%.2f", fontsize=8)
    axes.set_xticks(range(len(groups)), [group.name.replace(", ", ",\n") for group in groups], fontsize=7)
    axes.set_title("mean over landmarks" if k is None else f"landmark {k}", fontsize=8)
    axes.margins(y=0.15)
