"""WFLW: 98 points on faces of WIDER FACE (Wu et al. 2018), with six attributes that make the test subsets.

One line of a list is 196 coordinates, the box x1 y1 x2 y2, six 0/1 attributes, and the image's path. One image may
hold several faces, so samples are named by their line as in STLD's lists: wflw_train_0001.jpg is line 1.
The files do not say their base; coordinates are taken as they are (0-based).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lmdeploy.dataset import Loaded, Sample
from lmdeploy.errors import InputError
from training.data.sets.base import DataSet, collect, need_file, need_image
from training.data.sets.text import box_of, numbers, read_lines

ATTRIBUTES = ("pose", "expression", "illumination", "makeup", "occlusion", "blur")
FIELDS = 207
LAYOUT = """\
  WFLW_images/<event>/*.jpg
  WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_train.txt   (or in the folder itself)
  WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_test.txt"""


def read(root: Path, split: str) -> Loaded:
    """Samples of train, test, or a test subset such as test_pose, in the order of the list."""
    kind, _, attribute = split.partition("_")
    path = _list(root, kind)
    rows = [(number, line) for number, line in enumerate(read_lines(path), start=1) if line.strip()]
    if attribute:
        column = 200 + ATTRIBUTES.index(attribute)
        rows = [(number, line) for number, line in rows if _flag(line, column)]
    return collect(path, rows, lambda row: _sample(root, kind, row[0], row[1], f"{path.name} line {row[0]}"))


def _list(root: Path, kind: str) -> Path:
    name = f"list_98pt_rect_attr_{kind}.txt"
    inner = root / "WFLW_annotations" / "list_98pt_rect_attr_train_test" / name
    return need_file(root / name if (root / name).is_file() else inner, LAYOUT)


def _flag(line: str, column: int) -> bool:
    """Whether an attribute is set; a line that is too short is kept, so that it is named as broken."""
    cells = line.split(maxsplit=FIELDS - 1)
    return len(cells) < FIELDS or cells[column] == "1"


def _sample(root: Path, kind: str, number: int, line: str, where: str) -> Sample:
    cells = line.split(maxsplit=FIELDS - 1)
    if len(cells) != FIELDS:
        raise InputError(f"{where}: {len(cells)} fields instead of {FIELDS}; copy the list again")
    values = numbers(cells[:206], where)
    if not np.isin(values[200:], (0, 1)).all():
        raise InputError(f"{where}: an attribute is neither 0 nor 1")
    path = need_image(root / "WFLW_images" / cells[206].strip(), where)
    points = values[:196].reshape(98, 2).astype(np.float32)
    return Sample(f"wflw_{kind}_{number:04d}.jpg", path, points, box=box_of(values[196:200], where))


WFLW = DataSet(
    name="wflw",
    title="WFLW",
    schema="wflw98",
    splits={
        "train": 7500,
        "test": 2500,
        "test_pose": 326,
        "test_expression": 314,
        "test_illumination": 698,
        "test_makeup": 206,
        "test_occlusion": 736,
        "test_blur": 773,
    },
    read=read,
    crop="stld_wflw",
    normaliser="inter-ocular",
    layout=LAYOUT,
)
