"""The lists that STLD released with its crops: which images of 300-W, WFLW and AFLW are labelled at each ratio.

train_semi_l_<count>.txt: one line is the crop's file name and 2N crop-normalised numbers x, y, ...;
train_semi_u_<count>.txt: the other names of the training set. The labelled lists are nested, and l and u are disjoint
and complete; reading an l list checks that. A normalised c lies at c * W - 0.5 image px of the crop, since the
crop's edges are 0 and 1. WFLW's list of 1,500 is not released, but is what its list of 6,000 unlabelled names leaves
over: `labelled_names` gives it, to select from WFLW itself, whose sample names are the same.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from lmdeploy.dataset import Loaded, Sample
from lmdeploy.errors import InputError
from lmdeploy.geometry import whole_image_box
from lmdeploy.schema import load_schema
from training.data.sets.base import DataSet, collect, need_file
from training.data.sets.image_size import image_size
from training.data.sets.ratios import COUNTS, TOTALS
from training.data.sets.text import numbers, read_lines

LAYOUT = """\
  train_semi_l_<count>.txt    name and 2N numbers a line
  train_semi_u_<count>.txt    a name a line (count: of the labelled or of the unlabelled names)
  test.txt                    as l
  images_train/, images_test/ the 256 x 256 crops (or images/)"""
SCHEMAS = {"300w": "ibug68", "wflw": "wflw98", "aflw": "aflw19"}
TESTS = {"300w": 689, "wflw": 2500, "aflw": 4386}
NORMALISERS = {"300w": "inter-ocular", "wflw": "inter-ocular", "aflw": "image size"}


def read(data: str, root: Path, split: str) -> Loaded:
    """Samples of l_<count>, u_<count> or test; data: 300w, wflw or aflw. The box is the whole crop."""
    path, points = _list(root, data, split), load_schema(SCHEMAS[data]).points
    rows = [(n, line.split()) for n, line in enumerate(read_lines(path), start=1) if line.strip()]
    numbered = 0 if split.startswith("u_") else 2 * points
    loaded = collect(path, rows, lambda row: _sample(root, row[1], numbered, f"{path.name} line {row[0]}"))
    faults = _faults(root, data, int(split[2:])) if split.startswith("l_") else ()
    return Loaded(path, loaded.samples, (*loaded.problems, *faults))


def labelled_names(root: Path, data: str, count: int) -> list[str]:
    """Names of the labelled images at a count; for WFLW also where only the unlabelled list is there."""
    path = root / f"train_semi_l_{count}.txt"
    if path.is_file() or data != "wflw":
        return _names(_list(root, data, f"l_{count}"))
    others = set(_names(_list(root, data, f"u_{count}")))
    return [name for n in range(TOTALS[data]) if (name := f"wflw_train_{n + 1:04d}.jpg") not in others]


def _list(root: Path, data: str, split: str) -> Path:
    if split == "test":
        return need_file(root / "test.txt", LAYOUT)
    kind, count = split[0], int(split[2:])
    other = root / f"train_semi_u_{TOTALS[data] - count}.txt"
    if kind == "u" and other.is_file():
        return other
    return need_file(root / f"train_semi_{kind}_{count}.txt", LAYOUT)


def _names(path: Path) -> list[str]:
    return [line.split()[0] for line in read_lines(path) if line.strip()]


def _faults(root: Path, data: str, count: int) -> list[str]:
    """What breaks the lists' promises: nested, disjoint, complete. Lists that are not there are passed over."""
    names = set(_names(root / f"train_semi_l_{count}.txt"))
    faults = []
    smaller = [n for n in COUNTS[data].values() if n < count and (root / f"train_semi_l_{n}.txt").is_file()]
    for n in smaller:
        outside = set(_names(root / f"train_semi_l_{n}.txt")) - names
        if outside:
            faults.append(f"train_semi_l_{n}.txt: {len(outside)} names are not in the list of {count}")
    try:
        others = set(_names(_list(root, data, f"u_{count}")))
    except InputError:
        return faults
    if names & others:
        faults.append(f"train_semi_l_{count}.txt: {len(names & others)} names are unlabelled too")
    if len(names | others) != TOTALS[data]:
        faults.append(f"train_semi_l_{count}.txt: with the unlabelled {len(names | others)} names, not {TOTALS[data]}")
    return faults


def _sample(root: Path, cells: list[str], numbered: int, where: str) -> Sample:
    if len(cells) != 1 + numbered:
        raise InputError(f"{where}: {len(cells) - 1} numbers behind the name instead of {numbered}")
    places = [root / folder / cells[0] for folder in ("images_train", "images_test", "images")]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise InputError(f"{where}: {cells[0]} is in none of images_train, images_test, images")
    height, width = image_size(path)
    box = whole_image_box(height, width)
    if not numbered:
        return Sample(cells[0], path, box=box)
    points = numbers(cells[1:], where).reshape(-1, 2) * [width, height] - 0.5
    return Sample(cells[0], path, points.astype(np.float32), box=box)


def _set(data: str) -> DataSet:
    counts = COUNTS[data].values()
    splits = {f"l_{n}": n for n in counts} | {f"u_{n}": TOTALS[data] - n for n in counts} | {"test": TESTS[data]}
    return DataSet(
        name=f"stld_{data}",
        title=f"STLD's released lists of {data}",
        schema=SCHEMAS[data],
        splits=splits,
        read=partial(read, data),
        crop="whole_256",
        normaliser=NORMALISERS[data],
        layout=LAYOUT,
        remarks={"l_1500": "not released: the names that the 6,000 unlabelled ones leave over"}
        if data == "wflw"
        else {},
    )


STLD_300W, STLD_WFLW, STLD_AFLW = _set("300w"), _set("wflw"), _set("aflw")
