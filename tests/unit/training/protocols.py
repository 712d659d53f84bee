"""A second annotation protocol of the drawn faces: five points instead of 68."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.toy_faces import write_folder
from lmdeploy.dataset import read_labelled
from lmdeploy.schema import load_schema
from lmdeploy.types import F32
from training.data.crops import labels_csv


def five_of(points: F32) -> F32:
    """face5 f32[5,2] of ibug68 f32[68,2]: middles of the eyes, tip of the nose, corners of the mouth."""
    return np.stack([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])


def write_five(folder: Path, count: int, seed: int) -> Path:
    """A data folder of drawn faces, labelled in face5."""
    write_folder(folder, count, seed)
    samples = read_labelled(folder, load_schema("ibug68"))
    points = np.stack([five_of(sample.points) for sample in samples if sample.points is not None])
    (folder / "landmarks.csv").write_text(labels_csv(tuple(sample.name for sample in samples), points))
    return folder
