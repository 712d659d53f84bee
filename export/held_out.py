"""Scores and errors of a network on labelled images that it was not trained on, for calibrating the score."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from export.calibrated_score import Curve, fit
from export.crops import cut, jittered
from lmdeploy.backends.base import Backend
from lmdeploy.boxes import boxes_for
from lmdeploy.bundle import ModelSpec
from lmdeploy.dataset import read_labelled
from lmdeploy.geometry import invert, landmark_box, transform
from lmdeploy.metrics import normaliser_of, normalising_px, radial_errors

LEAST_CROPS = 400
BATCH = 32


def fit_score(backend: Backend, spec: ModelSpec, folder: Path) -> Curve:
    """The curve from this network's scores to P(error < 5 % of the normaliser), on a held-out labelled folder.

    The crops' boxes are those of the true points, jittered as a detector's are off; small folders come several times.
    """
    labelled = boxes_for(read_labelled(folder, spec.landmarks), "gt")
    boxed = jittered(labelled, max(len(labelled.samples), LEAST_CROPS))
    crops, matrices = cut(boxed, spec.crop)
    found = [backend.run(crops[i : i + BATCH]) for i in range(0, len(crops), BATCH)]
    points = np.concatenate([one.points for one in found])
    image = np.stack([transform(invert(m), p) for m, p in zip(matrices, points, strict=True)])
    truth = np.stack([s.points for s in boxed.samples if s.points is not None])
    own = [sample.box or landmark_box(p) for sample, p in zip(boxed.samples, truth, strict=True)]
    px = normalising_px(truth, normaliser_of(spec.landmarks), own)
    return fit(np.concatenate([one.score for one in found]), radial_errors(image, truth) / px[:, None])
