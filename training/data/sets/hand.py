"""Hand X-rays of the Digital Hand Atlas with the 37 points of Payer et al. 2016.

all.csv has no header: 910 rows of an id and 37 pairs x, y (75 columns), image px of the file <id>.jpg, 0-based. The
split that STLD takes over from the universal-landmark work goes by the images' order: of 909 images that have a row,
sorted by file name, the first 550 train and the next 59 validate, which makes STLD's 609, and the last 300 test.
Payer's own protocol is another one: 895 images in three folds, whose lists of ids come with the annotations.

Images without a row are passed over (the atlas has more of them); a row of an image that is not there is no fault
either, as long as 909 are. No box is given: the whole image is used.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lmdeploy.dataset import Loaded, Sample
from lmdeploy.errors import InputError
from training.data.sets.base import DataSet, collect, need_file
from training.data.sets.text import numbers, read_lines

IMAGES, COLUMNS = 909, 75
SUFFIXES = (".jpg", ".jpeg", ".png")
ORDER = {"train": slice(0, 609), "train_550": slice(0, 550), "valid_59": slice(550, 609), "test": slice(-300, None)}
LAYOUT = """\
  all.csv               910 rows: id and 37 pairs x, y (or setup/all.csv)
  jpg/<id>.jpg          909 images (or images/; .png)
  cv/set1/train.txt     ids of Payer's folds, set1 to set3, train and test (or cv/set1_train.txt, or in setup/);
                        only for the splits cv1_train to cv3_test"""


def read(root: Path, split: str) -> Loaded:
    """Samples of a split in the order of the file names, or of the fold's list."""
    path = _place(root, "all.csv")
    rows, problems = _rows(path)
    images = _images(root)
    if split in ORDER:
        ids, fault = _in_order(images, rows, path)
        chosen = ids[ORDER[split]]
    else:
        chosen, fault = _fold(root, split)
    loaded = collect(path, chosen, lambda number: _sample(number, images, rows, path))
    return Loaded(path, loaded.samples, (*problems, *fault, *loaded.problems))


def _place(root: Path, *names: str) -> Path:
    """The first of the files that is there, in the folder itself or in setup/."""
    places = [folder / name for folder in (root, root / "setup") for name in names]
    return need_file(next((place for place in places if place.is_file()), places[0]), LAYOUT)


def _rows(path: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Cells behind the id by id, and a line for each row whose id cannot be used."""
    rows: dict[str, list[str]] = {}
    problems = []
    for number, line in enumerate(read_lines(path), start=1):
        name, *cells = (cell.strip() for cell in line.split(","))
        if not line.strip():
            continue
        if not name.isdigit():
            problems.append(f"{path.name} line {number}: {name!r} is no id; copy the file again")
        elif name in rows:
            problems.append(f"{path.name} line {number}: the id {name} comes twice")
        else:
            rows[name] = cells
    return rows, problems


def _images(root: Path) -> dict[str, Path]:
    folder = next((root / name for name in ("jpg", "images") if (root / name).is_dir()), None)
    if folder is None:
        raise InputError(f"{root / 'jpg'}: no such folder. The data set is expected as\n{LAYOUT}")
    return {file.stem: file for file in sorted(folder.iterdir()) if file.suffix.lower() in SUFFIXES}


def _in_order(images: dict[str, Path], rows: dict[str, list[str]], path: Path) -> tuple[list[str], list[str]]:
    """Ids that have both an image and a row; none, and why, where so many are missing that the order would shift."""
    ids = [name for name in images if name in rows]
    if len(ids) >= IMAGES:
        return ids, []
    missing = [name for name in rows if name not in images]
    named = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
    return [], [
        f"{path}: only {len(ids)} of {IMAGES} images with a row, and the split goes by their order, so it cannot "
        f"be made; no image for {named or 'any other row'}"
    ]


def _fold(root: Path, split: str) -> tuple[list[str], list[str]]:
    """Ids of a fold's list; a line for each that its counterpart holds too."""
    number, kind = split[2], split[4:]
    lists = {}
    for part in ("train", "test"):
        path = _place(root, f"cv/set{number}/{part}.txt", f"cv/set{number}_{part}.txt")
        lists[part] = [line.strip() for line in read_lines(path) if line.strip()]
    both = set(lists["train"]) & set(lists["test"])
    return lists[kind], [f"{split}: {name} stands in both train and test" for name in sorted(both)]


def _sample(name: str, images: dict[str, Path], rows: dict[str, list[str]], path: Path) -> Sample:
    if name not in rows:
        raise InputError(f"{path}: no row for {name}")
    if name not in images:
        raise InputError(f"{path} id {name}: no image {name}.jpg")
    if len(rows[name]) != COLUMNS - 1:
        raise InputError(f"{path} id {name}: {len(rows[name]) + 1} columns instead of {COLUMNS}")
    points = numbers(rows[name], f"{path} id {name}").reshape(37, 2)
    return Sample(images[name].name, images[name], points.astype(np.float32))


HAND = DataSet(
    name="hand",
    title="Digital Hand Atlas (37 points)",
    schema="hand37",
    splits={
        **{"train": 609, "test": 300, "train_550": 550, "valid_59": 59},
        **{"cv1_train": 597, "cv1_test": 298, "cv2_train": 597, "cv2_test": 298, "cv3_train": 596, "cv3_test": 299},
    },
    read=read,
    crop="whole_512",
    normaliser="wrist width",
    layout=LAYOUT,
    remarks={"train": "STLD: 550 and 59", "cv1_train": "Payer's three folds are another protocol than STLD's split"},
)
