"""Errors of predicted points: NME with every normaliser, AUC, failure rate, radial errors in mm.

For image i with annotated points j: e_ij = |p_ij - g_ij|, NME_i = mean_j e_ij / d_i. Letters: N images, K landmarks.
Points are f[N,K,2], (x, y), prediction and truth in one frame; a NaN in the truth is a point not annotated. NME values
are fractions, not per cent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from lmdeploy.errors import InputError
from lmdeploy.schema import LandmarkSchema, Normaliser
from lmdeploy.types import F64, Array, Box

INTER_PUPIL = Normaliser(kind="distance", name="inter-pupil", a=tuple(range(36, 42)), b=tuple(range(42, 48)))
INNER_51 = tuple(range(17, 68))  # ibug68 without the jaw
# Parts of a schema's points: 300-VW is measured on 49 of ibug68 (no jaw, no inner corners of the mouth)
SUBSETS: dict[str, dict[str, tuple[int, ...]]] = {
    "ibug68": {"ibug49": tuple(k for k in INNER_51 if k not in (60, 64)), "inner51": INNER_51}
}
SDR_RADII_MM = (2.0, 2.5, 3.0, 4.0, 6.0, 9.0, 10.0)
# hand37's own wrist pair, 0-4, is the universal-landmark evaluation's; Payer's is about 8 % shorter
WRIST_1_5 = Normaliser(kind="distance", name="wrist width 1-5", a=(1,), b=(5,), length_mm=50.0)
IMAGE_SIZE = Normaliser(kind="image", name="image size")  # STLD and 3FabRec on AFLW
OTHER_NORMALISERS = {"ibug68": (INTER_PUPIL,), "hand37": (WRIST_1_5,), "aflw19": (IMAGE_SIZE,)}
SIMPSON_STEP = 1e-4


def normaliser_of(schema: LandmarkSchema, name: str | None = None) -> Normaliser:
    """The schema's own normaliser, or another that it has by name (such as ibug68: inter-pupil)."""
    rules: list[Normaliser] = [schema.normaliser, *OTHER_NORMALISERS.get(schema.name, ())]
    known = {rule.name: rule for rule in rules}
    if name is not None and name not in known:
        raise InputError(f"schema {schema.name} has no normaliser {name!r}: choose one of {', '.join(known)}")
    return known[name or schema.normaliser.name]


def subset_of(schema: LandmarkSchema, name: str) -> tuple[int, ...]:
    """Indices of the points of a named part of the schema."""
    known = SUBSETS.get(schema.name, {})
    if name not in known:
        choose = f"choose one of {', '.join(known)}" if known else "it has none"
        raise InputError(f"schema {schema.name} has no part {name!r}: {choose}")
    return known[name]


def radial_errors(pred: Array, truth: Array) -> F64:
    """Distances e_ij f64[N,K], px of the frame both are in; NaN where the truth is not annotated."""
    if pred.shape != truth.shape or pred.ndim != 3 or pred.shape[2] != 2:
        raise InputError(f"predicted points {pred.shape} and true points {truth.shape} must both be [N,K,2]")
    errors: F64 = np.linalg.norm(np.asarray(pred, np.float64) - truth, axis=2)
    if not np.isfinite(pred[np.isfinite(truth).all(axis=2)]).all():
        raise InputError("the model predicts points that are not finite; it cannot be evaluated")
    return errors


def normalising_px(truth: Array, normaliser: Normaliser, boxes: Sequence[Box] | None = None) -> F64:
    """Divisors d_i f64[N], px; NaN where it is not defined (an end point is not annotated, or both ends coincide).

    boxes: for kind `box` the N object boxes, for kind `image` the N crops, in the frame of the points: d = sqrt(w h).
    """
    if normaliser.kind == "distance":
        a, b = (np.asarray(truth, np.float64)[:, list(ends)].mean(axis=1) for ends in (normaliser.a, normaliser.b))
        d: F64 = np.linalg.norm(a - b, axis=1)
    else:
        if boxes is None or len(boxes) != len(truth):
            raise InputError(f"the normaliser {normaliser.name} needs one box for each of the {len(truth)} images")
        d = np.sqrt(np.array([max(box.width * box.height, 0.0) for box in boxes]))
    return np.where(d > 0, d, np.nan)


def nme_per_image(pred: Array, truth: Array, normaliser: Normaliser, boxes: Sequence[Box] | None = None) -> F64:
    """NME_i f64[N], a fraction of d_i; NaN where d_i is not defined or no point is annotated."""
    return mean_of_seen(radial_errors(pred, truth), axis=1) / normalising_px(truth, normaliser, boxes)


def per_landmark(pred: Array, truth: Array, normaliser: Normaliser, boxes: Sequence[Box] | None = None) -> F64:
    """Mean over the images of e_ij / d_i for each landmark: f64[K], a fraction; NaN for one never annotated."""
    scaled = radial_errors(pred, truth) / normalising_px(truth, normaliser, boxes)[:, None]
    return mean_of_seen(scaled, axis=0)


def failure_rate(nme: Array, threshold: float = 0.1) -> float:
    """Fraction of images whose NME_i is above the threshold (strictly)."""
    return float((_finite(nme) > threshold).mean())


def ced(nme: Array, thresholds: Array) -> F64:
    """Cumulative error distribution f64[T]: the fraction of images with NME_i <= each threshold."""
    values = np.sort(_finite(nme))
    return np.searchsorted(values, thresholds, side="right") / len(values)


def auc(nme: Array, threshold: float = 0.1, rule: Literal["exact", "simpson"] = "exact") -> float:
    """(1/t) integral_0^t CED(u) du, in [0, 1].

    `exact` integrates the staircase itself, mean_i max(0, t - NME_i) / t; `simpson` samples it every 1e-4 as STLD's
    evaluation does.
    """
    if rule == "exact":
        return float(np.clip(1 - _finite(nme) / threshold, 0, None).mean())
    pieces = 2 * max(1, round(threshold / SIMPSON_STEP / 2))  # Simpson needs an even number
    heights = ced(nme, np.linspace(0, threshold, pieces + 1))
    weights = np.ones(pieces + 1)
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    return float((weights * heights).sum() / (3 * pieces))


def radial_errors_mm(pred: Array, truth: Array, normaliser: Normaliser) -> F64:
    """f64[N,K] mm: errors scaled so that each image's own true wrist is `length_mm`; give original pixels."""
    if normaliser.length_mm is None:
        raise InputError(f"the normaliser {normaliser.name} has no length in mm, so there are no errors in mm")
    return radial_errors(pred, truth) * (normaliser.length_mm / normalising_px(truth, normaliser))[:, None]


def mre_mm(errors_mm: Array) -> float:
    """Mean radial error over all annotated points of all images, mm."""
    return float(_finite(errors_mm).mean())


def sdr(errors_mm: Array, radii_mm: Sequence[float] = SDR_RADII_MM) -> dict[float, float]:
    """Successful detection rate: the fraction of annotated points with an error of at most r mm, by r."""
    values = _finite(errors_mm)
    return {r: float((values <= r).mean()) for r in radii_mm}


def mean_of_seen(values: Array, axis: int) -> F64:
    """Mean along an axis without the NaN; NaN where nothing else is left."""
    seen = np.isfinite(values)
    count = seen.sum(axis=axis)
    total: F64 = np.where(seen, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _finite(values: Array) -> F64:
    kept = np.asarray(values, np.float64)
    kept = kept[np.isfinite(kept)]
    if len(kept) == 0:
        raise InputError("no image is left to measure: check the labels and the normaliser's points")
    return kept
