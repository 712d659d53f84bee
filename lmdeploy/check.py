"""Read a whole data folder, images included, and name everything that is broken."""

from __future__ import annotations

from pathlib import Path

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
            read_image(sample.path)
            good.append(sample)
        except InputError as error:
            problems.append(str(error))
    return Loaded(folder, tuple(good), tuple(problems))
