"""WIDER FACE (Yang et al. 2016) with the five points that RetinaFace (Deng et al. 2020) added to its training faces.

`widerface` reads RetinaFace's label.txt: a line `# <image>`, then one line a face of x y width height, five times
x y flag (-1 not annotated, 0 visible, 1 hidden), and a blur score. `widerface_boxes` reads the official lists, boxes
alone. SepBN keeps the faces whose box is wider and higher than 80 px and counts 9,770; it does not say of which
annotation, so the count is expected of the training faces that have points [R]. Coordinates are taken as they are
(0-based) [R]. Several faces may share an image: a sample is named by its line, and the image is its identity, because
two faces of one picture are not independent.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lmdeploy.dataset import Loaded, Sample
from lmdeploy.errors import InputError
from lmdeploy.types import F32, F64
from training.data.sets.base import DataSet, collect, need_file, need_image
from training.data.sets.text import box_of, numbers, read_lines

LARGE = 80.0  # px
LABEL_FIELDS, BOX_FIELDS = 20, 10
LAYOUT = """\
  train/label.txt                                       of RetinaFace's annotations
  WIDER_train/images/<event>/*.jpg                      (or train/images)"""
BOX_LAYOUT = """\
  wider_face_split/wider_face_train_bbx_gt.txt, wider_face_val_bbx_gt.txt
  WIDER_train/images/<event>/*.jpg, WIDER_val/images    (or train/images, val/images)"""

Face = tuple[int, str, str]  # line of the file, image, the face's own text


def read(root: Path, split: str) -> Loaded:
    """Faces over 80 px (`train`) or of any size (`train_any`) that have points, in the order of label.txt."""
    path = need_file(root / "train" / "label.txt", LAYOUT)
    images, smallest = _images(root, "train"), LARGE if split == "train" else 0.0
    faces = (face for face in _labelled(path) if _large(face[2], LABEL_FIELDS, smallest))
    loaded = collect(path, faces, lambda face: _sample(images, face, "train", LABEL_FIELDS, path.name))
    return Loaded(path, tuple(s for s in loaded.samples if s.points is not None), loaded.problems)


def read_boxes(root: Path, split: str) -> Loaded:
    """Faces over 80 px without points, in the order of the official list."""
    path = need_file(root / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt", BOX_LAYOUT)
    images = _images(root, split)
    faces, problems = _boxed(path)
    large = [face for face in faces if _large(face[2], BOX_FIELDS, LARGE)]
    loaded = collect(path, large, lambda face: _sample(images, face, split, BOX_FIELDS, path.name))
    return Loaded(path, loaded.samples, (*problems, *loaded.problems))


def _images(root: Path, split: str) -> Path:
    inner = root / f"WIDER_{split}" / "images"
    return inner if inner.is_dir() else root / split / "images"


def _labelled(path: Path) -> Iterator[Face]:
    image = ""
    for number, line in enumerate(read_lines(path), start=1):
        if line.startswith("#"):
            image = line[1:].strip()
        elif line.strip():
            yield number, image, line


def _boxed(path: Path) -> tuple[list[Face], list[str]]:
    """All faces; a line for a list that breaks off or does not go on where its count of faces says it does."""
    lines = [line.strip() for line in read_lines(path)]
    while lines and not lines[-1]:
        lines.pop()
    faces, at = list[Face](), 0
    while at < len(lines):
        image, count = lines[at], lines[at + 1] if at + 1 < len(lines) else ""
        # An image without faces has one line of zeros all the same
        end = at + 2 + max(int(count), 1) if count.isdigit() else 0
        if not image.endswith(".jpg") or not at < end <= len(lines):
            return faces, [
                f"{path.name} line {at + 1}: not an image, its count of faces and as many lines; copy it again"
            ]
        faces += [(n + 1, image, lines[n]) for n in range(at + 2, end)]
        at = end
    return faces, []


def _large(line: str, fields: int, smallest: float) -> bool:
    """Whether both sides are larger than `smallest` px; a broken line is kept, so that it is named."""
    cells = line.split()
    try:
        w, h = numbers(cells[2:4], "")
    except (InputError, ValueError):
        return True
    return len(cells) != fields or bool(min(w, h) > smallest)


def _sample(images: Path, face: Face, split: str, fields: int, file: str) -> Sample:
    number, name, line = face
    where, cells = f"{file} line {number}", line.split()
    if len(cells) != fields:
        raise InputError(f"{where}: {len(cells)} fields instead of {fields}; copy the file again")
    values = numbers(cells, where)
    if not name:
        raise InputError(f"{where}: no line '# <image>' stands above it")
    x, y, w, h = values[:4]
    box = box_of(np.array([x, y, x + w, y + h]), where)
    points = _points(values[4:19], where) if fields == LABEL_FIELDS else None
    return Sample(f"widerface_{split}_{number:06d}.jpg", need_image(images / name, where), points, name, box)


def _points(values: F64, where: str) -> F32 | None:
    """f32[5,2], image px, NaN where not annotated; None where none is."""
    rows = values.reshape(5, 3)
    if not np.isin(rows[:, 2], (-1, 0, 1)).all():
        raise InputError(f"{where}: a point's flag is none of -1, 0, 1")
    given = rows[:, 2:] >= 0
    return np.where(given, rows[:, :2], np.nan).astype(np.float32) if given.any() else None


WIDERFACE = DataSet(
    name="widerface",
    title="WIDER FACE (5 points)",
    schema="face5",
    splits={"train": 9770, "train_any": None},
    read=read,
    crop="sepbn",
    normaliser="face size",
    layout=LAYOUT,
    remarks={"train": "box wider and higher than 80 px, as SepBN counts", "train_any": "every face that has points"},
)
WIDERFACE_BOXES = DataSet(
    name="widerface_boxes",
    title="WIDER FACE (boxes, unlabelled)",
    schema=None,
    splits={"train": None, "val": None},
    read=read_boxes,
    crop="sepbn",
    normaliser="face size",
    layout=BOX_LAYOUT,
    remarks=dict.fromkeys(("train", "val"), "box wider and higher than 80 px"),
)
