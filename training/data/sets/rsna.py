"""RSNA's bone-age challenge (Halabi et al. 2019): 12,611 X-rays of hands without landmarks.

Unlabelled images for STLD's omni setting on hands, which names 12K of them. The ages and sexes of the challenge's CSV
file are not used; where the file is there, its ids say which images are missing. No box is given: the whole image is
used, plainly resized as the labelled hands are [R].
"""

from __future__ import annotations

from pathlib import Path

from lmdeploy.dataset import Loaded, Sample
from lmdeploy.errors import InputError
from training.data.sets.base import DataSet, collect, need_folder
from training.data.sets.csv_rows import Row, read_rows

FOLDER = "boneage-training-dataset"
LAYOUT = f"""\
  {FOLDER}/*.png    12,611 images (or one folder of that name deeper)
  {FOLDER}.csv      id, boneage, male    optional"""


def read(root: Path, split: str) -> Loaded:
    """All training images by file name, or in the order of the CSV file where there is one."""
    outer = need_folder(root / FOLDER, LAYOUT)
    folder = outer / FOLDER if (outer / FOLDER).is_dir() else outer
    table = root / f"{FOLDER}.csv"
    if table.is_file():
        return collect(table, read_rows(table, ["id"]), lambda row: _listed(folder, row))
    files = sorted(folder.glob("*.png"), key=lambda file: (len(file.name), file.name))
    if not files:
        raise InputError(f"{folder}: no .png file in it. The data set is expected as\n{LAYOUT}")
    return collect(folder, files, lambda file: Sample(file.name, file))


def _listed(folder: Path, row: Row) -> Sample:
    name = row.text("id")
    if not name.isdigit():
        raise InputError(f"{row.where}: {name!r} is no id")
    path = folder / f"{name}.png"
    if not path.is_file():
        raise InputError(f"{row.where}: no such image {path}")
    return Sample(path.name, path)


RSNA = DataSet(
    name="rsna",
    title="RSNA bone age (unlabelled hands)",
    schema=None,
    splits={"train": 12611},
    read=read,
    crop="whole_512",
    normaliser="image size",
    layout=LAYOUT,
)
