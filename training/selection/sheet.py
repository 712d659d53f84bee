"""A picture of the chosen images, best first, with the points that the model predicts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath

import numpy as np

from lmdeploy.boxes import Boxed
from lmdeploy.model import Model
from lmdeploy.outcome import predict_samples
from lmdeploy.sheet import make_sheet
from lmdeploy.types import F32

SHOWN = 36  # tiles, six a row
NAME = 20  # letters of an image's name under its tile, from its end


def sheet_of(model: Model, boxed: Boxed, value: F32) -> bytes:
    """A JPEG file with a tile for each of the first SHOWN chosen samples, with its rank, value f32[N] and name."""
    import cv2  # loading OpenCV takes 0.1 s

    some = Boxed(boxed.samples[:SHOWN], boxed.boxes[:SHOWN], (), boxed.source)
    points = predict_samples(model, some).points_image
    tiles = [
        replace(sample, points=own, box=box, name=f"{rank} ({float(of):.3g}) {PurePath(sample.name).name[-NAME:]}")
        for rank, (sample, box, own, of) in enumerate(zip(some.samples, some.boxes, points, value, strict=False), 1)
    ]
    sheet = make_sheet(tiles, model.spec.landmarks, model.spec.crop)
    _, content = cv2.imencode(".jpg", np.ascontiguousarray(sheet.image[:, :, ::-1]))
    return content.tobytes()
