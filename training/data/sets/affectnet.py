"""AffectNet (Mollahosseini et al. 2017): faces with boxes, taken as unlabelled images for auto-encoders.

As in 3FabRec's release, rows whose expression is 8 to 10 (none, uncertain, no face) or whose face has no width are
passed over. The landmarks in the files come from a detector, so they are no labels. face_x and face_y are taken as
0-based [R]. SCAF trains on 748K images and does not say which; `automatic` is the list that a machine annotated.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lmdeploy.dataset import Loaded, Sample
from lmdeploy.errors import InputError
from training.data.sets.base import DataSet, collect, need_file, need_folder, need_image
from training.data.sets.csv_rows import Row, read_rows
from training.data.sets.text import box_of, numbers

EXPRESSIONS = 8  # neutral, happy, sad, surprise, fear, disgust, anger, contempt; 8 and more are no expression
BOX = ("face_x", "face_y", "face_width", "face_height")
FILES = {
    "train": ("training.csv", "Manually"),
    "valid": ("validation.csv", "Manually"),
    "automatic": ("automatically_annotated.csv", "Automatically"),
}
LAYOUT = """\
  Manually_Annotated_file_lists/training.csv, validation.csv           (or in the folder itself)
  Manually_Annotated_Images/<number>/*.jpg                             (or below Manually_Annotated/)
  Automatically_annotated_file_list/automatically_annotated.csv        (or in the folder itself)
  Automatically_Annotated_Images/<number>/*.jpg                        (or below Automatically_Annotated/)"""


def read(root: Path, split: str) -> Loaded:
    """Samples of train, valid or automatic, in the order of the list."""
    name, kind = FILES[split]
    lists = ("", "Manually_Annotated_file_lists", "Automatically_annotated_file_list")
    places = [root / folder / name for folder in lists]
    path = need_file(next((place for place in places if place.is_file()), root / name), LAYOUT)
    inner = root / f"{kind}_Annotated" / f"{kind}_Annotated_Images"
    images = need_folder(inner if inner.is_dir() else root / f"{kind}_Annotated_Images", LAYOUT)
    rows = (row for row in read_rows(path, ["subDirectory_filePath", *BOX, "expression"]) if _wanted(row))
    return collect(path, rows, lambda row: _sample(images, row))


def _wanted(row: Row) -> bool:
    """Whether 3FabRec uses a row; a broken one is kept, so that it is named."""
    try:
        expression, width = numbers([row.text("expression"), row.text("face_width")], row.where)
    except InputError:
        return row.cells.get("expression", "").strip() not in ("8", "9", "10")
    return bool(expression < EXPRESSIONS and width > 0)


def _sample(images: Path, row: Row) -> Sample:
    name = row.text("subDirectory_filePath")
    numbers([row.text("expression")], row.where)
    x, y, w, h = numbers([row.text(column) for column in BOX], row.where)
    path = need_image(images / name, row.where)
    return Sample(name, path, box=box_of(np.array([x, y, x + w, y + h]), f"{row.where} ({name})"))


AFFECTNET = DataSet(
    name="affectnet",
    title="AffectNet (unlabelled)",
    schema=None,
    splits={"train": 287_651, "valid": None, "automatic": None},
    read=read,
    crop="fabrec_affectnet",
    normaliser="face size",
    layout=LAYOUT,
    remarks={"train": "3FabRec's paper says 228K, its release has 287,651", "automatic": "SCAF uses 748K in all"},
)
