"""The int8 file that keeps to its tolerance with the fewest convolutions in float."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from export.parity import Parity
from export.quantise.calibrate import Ranges
from export.quantise.places import eligible, measurable
from export.quantise.qdq import Scheme, quantise
from export.surgery.graph import Graph
from lmdeploy.backends.ort import OrtBackend
from lmdeploy.types import U8

FEW = 16  # crops on which single convolutions are judged
MOST = 0.25  # of the convolutions may stay in float: with more the file would not be worth its name

Judge = Callable[[bytes], Parity]


@dataclass(frozen=True, slots=True)
class Found:
    """An int8 file, how near it is, and the convolutions left in float beside the first and last ones."""

    model: bytes
    parity: Parity
    left: tuple[str, ...]


def search(model: bytes, scheme: Scheme, crops: U8, judge: Judge) -> Found:
    """Quantise all eligible convolutions; over the tolerance, leave out the ones that lose most, one more each time.

    Args:
        model: fp32 file after surgery.
        scheme: see export.quantise.qdq.
        crops: u8[N,S,S,3], what ranges are measured on.
        judge: compares an int8 file with PyTorch.
    """
    ranges = Ranges(model, measurable(Graph(model)), crops)
    best = _found(model, scheme, ranges, (), judge)
    if best.parity.passed or not np.isfinite(best.parity.p99_px):
        return best
    order = losses(model, scheme, ranges, crops[:FEW])
    for count in range(1, int(MOST * len(order)) + 1):
        found = _found(model, scheme, ranges, tuple(order[:count]), judge)
        best = min(best, found, key=lambda one: one.parity.p99_px)
        if best.parity.passed:
            break
    return best


def losses(model: bytes, scheme: Scheme, ranges: Ranges, crops: U8) -> list[str]:
    """Names of the eligible convolutions, first the one that moves the points most when it alone is quantised."""
    names = [node.name for node in eligible(Graph(model))]
    wanted = OrtBackend(model, None, "cpu").run(crops).points
    moved = []
    for name in names:
        alone = quantise(model, scheme, ranges, [other for other in names if other != name])
        points = OrtBackend(alone, None, "cpu").run(crops).points
        moved.append(float(np.square(points - wanted).mean()))
    return [names[i] for i in np.argsort(moved)[::-1]]


def _found(model: bytes, scheme: Scheme, ranges: Ranges, left: tuple[str, ...], judge: Judge) -> Found:
    small = quantise(model, scheme, ranges, left)
    return Found(small, judge(small).model_copy(update={"left_float": len(left)}), left)
