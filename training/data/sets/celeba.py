"""CelebA (Liu et al. 2015), in the wild: 202,599 faces, taken as unlabelled images.

The five points of its files are not used. STLD's omni setting has 20K, 70K and 200K of the images and does not say
which ones: here they are drawn by a hash of the names, and a smaller draw is part of a larger one [R]. The box is the
row of list_bbox_celeba.txt, x y width height, taken as 0-based [R], on which the crop policy `celeba` builds; a row of
four zeros is no box, and a detector has to find that face.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lmdeploy.dataset import Loaded, Sample
from lmdeploy.errors import InputError
from lmdeploy.split import draw
from lmdeploy.types import Box
from training.data.sets.base import DataSet, collect, need_file, need_folder, need_image
from training.data.sets.text import box_of, numbers, read_lines

COUNTS = {"20k": 20_000, "70k": 70_000, "200k": 200_000}
LAYOUT = """\
  Img/img_celeba/*.jpg           202,599 images (or img_celeba/)
  Anno/list_bbox_celeba.txt      (or in the folder itself)"""


def read(root: Path, split: str) -> Loaded:
    """Samples of 20k, 70k, 200k or all, in the order of the list."""
    name = "list_bbox_celeba.txt"
    path = need_file(root / name if (root / name).is_file() else root / "Anno" / name, LAYOUT)
    inner = root / "Img" / "img_celeba"
    images = need_folder(inner if inner.is_dir() else root / "img_celeba", LAYOUT)
    lines = read_lines(path)
    rows = [(number, line.split()) for number, line in enumerate(lines[2:], start=3) if line.strip()]
    faults = _faults(path, lines[:2], len(rows))
    count = COUNTS.get(split, len(rows))
    if count < len(rows):
        chosen = set(draw([Sample(cells[0], path) for _, cells in rows], count, seed=0))
        rows = [row for row in rows if row[1][0] in chosen]
    loaded = collect(path, rows, lambda row: _sample(images, row[1], f"{path.name} line {row[0]}"))
    return Loaded(path, loaded.samples, (*faults, *loaded.problems))


def _faults(path: Path, head: list[str], rows: int) -> list[str]:
    """What the first two lines, the number of rows and the names of the columns, say against the file."""
    if (
        len(head) < 2
        or not head[0].strip().isdigit()
        or head[1].split() != ["image_id", "x_1", "y_1", "width", "height"]
    ):
        raise InputError(f"{path}: the first two lines are not a count and the columns' names, so it is another file")
    return (
        []
        if int(head[0]) == rows
        else [f"{path}: {rows} rows, not the {head[0].strip()} that it states; copy it again"]
    )


def _sample(images: Path, cells: list[str], where: str) -> Sample:
    if len(cells) != 5:
        raise InputError(f"{where}: {len(cells)} fields instead of 5; copy the list again")
    x, y, w, h = numbers(cells[1:], where)
    path = need_image(images / cells[0], where)
    box: Box | None = None
    if any((x, y, w, h)):
        box = box_of(np.array([x, y, x + w, y + h]), f"{where} ({cells[0]})")
    return Sample(cells[0], path, box=box)


CELEBA = DataSet(
    name="celeba",
    title="CelebA in the wild (unlabelled)",
    schema=None,
    splits={**COUNTS, "all": 202_599},
    read=read,
    crop="celeba",
    normaliser="face size",
    layout=LAYOUT,
    remarks=dict.fromkeys(COUNTS, "drawn by name; no paper says which"),
)
