"""AFLW with the 19 points, boxes and order of CCL (Zhu et al. 2016): AFLWinfo_release.mat.

The first 20,000 entries of the 1-based permutation `ra` train, the other 4,386 test. `frontal` are the test faces
whose 19 points are all visible in `mask_new` (1 = visible); papers count 1,314 or 1,165 of them, so only the count in
your copy says which. All 19 points are annotated, seen or not. Coordinates come from AFLW's own data base and are
taken as they are (0-based). Samples are named as in STLD's lists: aflw_train_00001.jpg is image 1 of the file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lmdeploy.dataset import Loaded, Sample
from lmdeploy.errors import InputError
from lmdeploy.types import Array
from training.data.sets.base import DataSet, collect, need_file, need_image
from training.data.sets.mat import read_mat
from training.data.sets.text import box_of

TRAIN = 20000
LAYOUT = """\
  AFLWinfo_release.mat      of the CCL project
  flickr/{0,2,3}/*.jpg      (or data/flickr)"""
_SHAPES = {"bbox": (4,), "data": (38,), "mask_new": (19,), "ra": (), "nameList": ()}


def read(root: Path, split: str) -> Loaded:
    """Samples of train, test or frontal, in the order of `ra`."""
    path = need_file(root / "AFLWinfo_release.mat", LAYOUT)
    try:
        info = _info(path)
        order = _order(info, path)
    except InputError as error:
        return Loaded(path, (), (str(error),))
    wanted = order[:TRAIN] if split == "train" else order[TRAIN:]
    if split == "frontal":
        wanted = wanted[info["mask_new"][wanted].all(axis=1)]
    kind = "train" if split == "train" else "test"
    return collect(path, wanted.tolist(), lambda index: _sample(root, kind, info, index))


def visible(root: Path) -> Array:
    """bool[N,19] in the file's own order: which points can be seen."""
    return _info(root / "AFLWinfo_release.mat")["mask_new"].astype(bool)


def _info(path: Path) -> dict[str, Array]:
    info = read_mat(path, list(_SHAPES))
    info["ra"], info["nameList"] = info["ra"].ravel(), info["nameList"].ravel()
    count = len(info["bbox"])
    for name, shape in _SHAPES.items():
        if info[name].shape != (count, *shape):
            raise InputError(f"{path}: {name} is {info[name].shape} instead of {(count, *shape)}; copy it again")
    return info


def _order(info: dict[str, Array], path: Path) -> Array:
    order: Array = info["ra"].astype(np.int64) - 1
    if not np.array_equal(np.sort(order), np.arange(len(order))):
        raise InputError(f"{path}: ra is not a permutation of 1..{len(order)}; copy it again")
    return order


def _sample(root: Path, kind: str, info: dict[str, Array], index: int) -> Sample:
    where = f"AFLWinfo_release.mat image {index + 1}"
    cell = np.asarray(info["nameList"][index]).ravel()
    if cell.size != 1:
        raise InputError(f"{where}: nameList has no name for it")
    images = root / "flickr" if (root / "flickr").is_dir() else root / "data" / "flickr"
    path = need_image(images / str(cell[0]), where)
    points = np.asarray(info["data"][index], np.float64).reshape(2, 19).T
    if not np.isfinite(points).all():
        raise InputError(f"{where} ({cell[0]}): a coordinate is not a finite number")
    x0, x1, y0, y1 = np.asarray(info["bbox"][index], np.float64)
    box = box_of(np.array([x0, y0, x1, y1]), f"{where} ({cell[0]})")
    return Sample(f"aflw_{kind}_{index + 1:05d}.jpg", path, points.astype(np.float32), box=box)


AFLW = DataSet(
    name="aflw",
    title="AFLW (19 points)",
    schema="aflw19",
    splits={"train": TRAIN, "test": 4386, "frontal": None},
    read=read,
    crop="stld_aflw",
    normaliser="face size",
    layout=LAYOUT,
    remarks={"frontal": "all 19 points visible; SepBN counts 1,314, TS3 and SAN 1,165"},
)
