"""Figures of a model on labelled samples, each beside everything that is needed to read it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from lmdeploy import metrics
from lmdeploy.bootstrap import bootstrap_interval, clusters_of
from lmdeploy.boxes import boxes_for
from lmdeploy.dataset import Sample, read_labelled
from lmdeploy.detect import Detector, open_detector
from lmdeploy.errors import InputError
from lmdeploy.geometry import landmark_box, scale_of, transform
from lmdeploy.model import Model
from lmdeploy.outcome import Outcome, predict_samples
from lmdeploy.schema import Normaliser
from lmdeploy.types import F64, Array, Box

THRESHOLD = 10.0  # of FR and AUC, per cent of the normaliser

Frame = Literal["image", "crop"]


class Evaluation(BaseModel):
    """Figures of one model on one data set.

    nme, nme_51 (ibug68 without the jaw), nme_ci (95 % bootstrap over identities), fr and per_landmark are in per
    cent of the normaliser, auc is in [0, 1]; fr and auc are taken at `threshold` per cent. images: how many the
    figures are made of; dropped: how many are missing, because no box was found or the normaliser's points are not
    annotated. per_landmark holds None for a point that is never annotated or not counted. mre_mm and sdr (by radius in
    mm) are given only where the schema knows a true length.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    digest: str
    provider: str
    landmarks: str
    normaliser: str
    frame: Frame
    boxes: str
    images: int
    dropped: int
    dropped_images: tuple[str, ...]
    nme: float
    nme_ci: tuple[float, float]
    fr: float
    auc: float
    threshold: float = THRESHOLD
    per_landmark: tuple[float | None, ...]
    nme_51: float | None = None
    mre_mm: float | None = None
    sdr: dict[str, float] | None = None

    def to_json(self) -> str:
        """One JSON object, indented; figures that the schema does not have are left out."""
        absent = {name for name in ("nme_51", "mre_mm", "sdr") if getattr(self, name) is None}
        return self.model_dump_json(indent=1, exclude=absent) + "\n"


def evaluate(
    model: Model,
    samples: Sequence[Sample],
    boxes: str = "gt",
    detector: Detector | None = None,
    frame: Frame = "image",
    normaliser: str | None = None,
) -> Evaluation:
    """Predict labelled samples and measure; the parts are boxes_for, predict_samples and measure.

    Args:
        model: an open model.
        samples: labelled by the model's schema.
        boxes: gt, file, or the name of `detector`, as in boxes.boxes_for.
        detector: where `boxes` names one.
        frame: image px, or px of the model's own crop (which a `stretch` rule distorts: STLD's frame, and for hands
            the resized one of the universal-landmark evaluation).
        normaliser: another one than the schema's own, by name.
    """
    boxed = boxes_for(samples, boxes, detector, model.spec.detectors)
    return measure(predict_samples(model, boxed), frame, normaliser)


def evaluate_folder(
    model: Model, folder: str | Path, boxes: str = "gt", yunet: str | Path | None = None, **how: Any
) -> tuple[Outcome, Evaluation]:
    """Read a labelled folder, predict and measure; `boxes` may also be haar, whole_image or yunet (with its file).

    Args:
        model: an open model, such as `landmarker.model`.
        folder: images/ and landmarks.csv, optionally boxes.csv and manifest.csv; positions in image px.
        boxes: gt (of the true points), file (boxes.csv alone), or a detector's name.
        yunet: YuNet's model file.
        how: `frame`, `normaliser`, `threshold` and `subset` as in `measure`.
    Returns: the points, for `plots.write_plots` and figures of one's own, and the figures.
    Errors: InputError for a folder that is not labelled, DataError with all its broken images and rows.
    """
    detector = None if boxes in ("gt", "file") else open_detector(boxes, yunet)
    samples = read_labelled(folder, model.spec.landmarks)
    outcome = predict_samples(model, boxes_for(samples, boxes, detector, model.spec.detectors))
    return outcome, measure(outcome, **how)


def measure(
    outcome: Outcome,
    frame: Frame = "image",
    normaliser: str | None = None,
    threshold: float = THRESHOLD,
    subset: str | None = None,
) -> Evaluation:
    """All figures of an outcome; a sample without an annotated normaliser is dropped and named.

    frame, normaliser: as in `evaluate`. threshold: of fr and auc, per cent; TS3 takes 8 on 300-VW. subset: only these
    points count (metrics.SUBSETS); the normaliser's may be others.
    """
    if not threshold > 0:
        raise InputError(f"threshold {threshold:g}: give a share of the normaliser in per cent, more than 0")
    spec = outcome.model.spec
    rule = metrics.normaliser_of(spec.landmarks, normaliser)
    scaled = scaled_errors(outcome, frame, rule)
    if subset is not None:
        counted = np.isin(np.arange(scaled.shape[1]), metrics.subset_of(spec.landmarks, subset))
        scaled = np.where(counted, scaled, np.nan)
    nme = metrics.mean_of_seen(scaled, axis=1)
    kept = np.isfinite(nme)
    people = [sample.identity for sample, ok in zip(outcome.samples, kept, strict=True) if ok]
    dropped = (*outcome.boxed.dropped, *(s.name for s, ok in zip(outcome.samples, kept, strict=True) if not ok))
    figures = {
        "fr": 100 * metrics.failure_rate(nme, threshold / 100),
        "auc": metrics.auc(nme, threshold / 100),
        "threshold": threshold,
    }
    low, high = bootstrap_interval(nme[kept], clusters_of(people))
    return Evaluation(
        model=spec.name,
        digest=outcome.model.digest,
        provider=outcome.model.backend.provider,
        landmarks=spec.landmarks.name if subset is None else f"{spec.landmarks.name}: {subset}",
        normaliser=rule.name,
        frame=frame,
        boxes=outcome.boxed.source,
        images=int(kept.sum()),
        dropped=len(dropped),
        dropped_images=dropped,
        nme=100 * float(nme[kept].mean()),
        nme_ci=(100 * low, 100 * high),
        per_landmark=_per_cent(metrics.mean_of_seen(scaled, axis=0)),
        **figures,
        **(_more(outcome, scaled, rule) if subset is None else {}),
    )


def scaled_errors(outcome: Outcome, frame: Frame, rule: Normaliser) -> F64:
    """e_ij / d_i f64[N,K] in the frame, a fraction; NaN where not annotated or not normalisable."""
    pred, truth = outcome.points_image, outcome.truth_image
    if frame == "crop":
        pred, truth = outcome.to_crop(pred), outcome.to_crop(truth)
    d = metrics.normalising_px(truth, rule, _boxes(outcome, frame, rule))
    scaled: F64 = metrics.radial_errors(pred, truth) / d[:, None]
    return scaled


def _boxes(outcome: Outcome, frame: Frame, rule: Normaliser) -> list[Box] | None:
    """What the kinds `box` and `image` divide by, in the frame.

    `box`: the image's row of boxes.csv, else the box of the true points, never a detector's. `image`: the whole crop.
    """
    if rule.kind == "distance":
        return None
    size = outcome.model.spec.crop.size
    if rule.kind == "image":
        sides = [size / (1.0 if frame == "crop" else scale_of(matrix)) for matrix in outcome.matrices]
        return [Box(0.0, 0.0, side, side) for side in sides]
    own = [s.box or landmark_box(p) for s, p in zip(outcome.samples, outcome.truth_image, strict=True)]
    if frame == "image":
        return own
    corners = [np.array([[b.x0, b.y0], [b.x1, b.y1]]) for b in own]
    moved = [transform(matrix, of).ravel().tolist() for matrix, of in zip(outcome.matrices, corners, strict=True)]
    return [Box(*of) for of in moved]


def _per_cent(values: Array) -> tuple[float | None, ...]:
    return tuple(100 * float(value) if np.isfinite(value) else None for value in values)


def _more(outcome: Outcome, scaled: F64, rule: Normaliser) -> dict[str, Any]:
    """Figures that only some schemas have."""
    landmarks = outcome.model.spec.landmarks
    if landmarks.name == "ibug68":
        inner = metrics.mean_of_seen(scaled[:, list(metrics.INNER_51)], axis=1)
        return {"nme_51": 100 * float(metrics.mean_of_seen(inner, axis=0))}
    if rule.length_mm is None:
        return {}
    errors_mm = scaled * rule.length_mm
    rates = metrics.sdr(errors_mm)
    return {"mre_mm": metrics.mre_mm(errors_mm), "sdr": {f"{radius:g}": rate for radius, rate in rates.items()}}
