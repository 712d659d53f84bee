"""Read a whole data folder, images included, and name everything that is broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lmdeploy.dataset import Loaded, Sample, scan_labelled, scan_unlabelled
from lmdeploy.errors import InputError
from lmdeploy.images import read_image
from lmdeploy.schema import LandmarkSchema


def check_folder(folder: str | Path, schema: LandmarkSchema) -> Loaded:
    """The samples whose rows and images are good, and one line for each that is not.

    The folder is labelled where it holds a landmarks.csv, else a plain folder of images.
    """
    folder = Path(folder)
    labelled = (folder / "landmarks.csv").is_file()
    loaded = scan_labelled(folder, schema) if labelled else scan_unlabelled(folder)
    good: list[Sample] = []
    problems = list(loaded.problems)
    for sample in loaded.samples:
        try:
            problem = _wrong_label(sample, *read_image(sample.path).shape[:2])
        except InputError as error:
            problem = str(error)
        if problem:
            problems.append(problem)
        else:
            good.append(sample)
    return Loaded(folder, tuple(good), tuple(problems))


def _wrong_label(sample: Sample, height: int, width: int) -> str:
    """What is wrong with its points, or nothing. Single points may lie outside: faces are cut off."""
    if sample.points is None:
        return ""
    x, y = sample.points[np.isfinite(sample.points).all(axis=1)].T
    if not ((x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)).any():
        return f"{sample.name}: every point lies outside of the image ({width} x {height} px)"
    if sample.box is None and not (np.ptp(x) > 0 or np.ptp(y) > 0):
        return f"{sample.name}: all points are in one place, which is no box to crop; mend them, or give a boxes.csv"
    return ""
