"""Errors of one bundle on the gate half of the anchor, image by image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lmdeploy.boxes import boxes_for
from lmdeploy.dataset import Sample
from lmdeploy.metrics import nme_per_image
from lmdeploy.model import open_model
from lmdeploy.outcome import predict_samples
from lmdeploy.types import F64


def gate_errors(bundle: Path, samples: list[Sample], threads: int | None) -> F64:
    """NME f64[N], per cent of the schema's normaliser, image px, ground-truth boxes; NaN for points not finite."""
    model = open_model(bundle, threads=threads, device="cpu", backend="onnxruntime")
    try:
        outcome = predict_samples(model, boxes_for(samples, "gt"))
    finally:
        model.backend.close()
    points, normaliser = outcome.points_image, model.spec.landmarks.normaliser
    broken = ~np.isfinite(points).all(axis=(1, 2))
    boxes = list(outcome.boxed.boxes) if normaliser.kind != "distance" else None
    errors = 100 * nme_per_image(np.where(np.isfinite(points), points, 0), outcome.truth_image, normaliser, boxes)
    errors[broken] = np.nan
    return errors
