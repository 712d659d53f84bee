"""COFW: 29 points, each with an occlusion flag (Burgos-Artizzu et al. 2013), in Matlab 7.3 (HDF5) files.

IsTr / IsT hold the pictures (grey or RGB), phisTr / phisT 87 numbers each (29 x, 29 y, 29 flags), bboxesTr / bboxesT
x, y, w, h. HDF5 sees Matlab's arrays transposed. The pictures are unpacked once to ROOT/unpacked. Coordinates are
Matlab's, so 1 is subtracted [R: no source states the base].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lmdeploy.dataset import Loaded, Sample
from lmdeploy.errors import InputError
from lmdeploy.types import U8, Array
from training.data.sets.base import DataSet, collect, need_file, need_image
from training.data.sets.text import box_of
from training.data.sets.unpack import cache_folder, unpack

FIRST_PIXEL = 1.0
SUFFIX = {"train": "Tr", "test": "T"}
LAYOUT = """\
  COFW_train_color.mat
  COFW_test_color.mat"""


def read(root: Path, split: str) -> Loaded:
    """Samples of a split in the file's order; its pictures are unpacked on the first call."""
    path = need_file(root / f"COFW_{split}_color.mat", LAYOUT)
    names = [f"{kind}{SUFFIX[split]}" for kind in ("Is", "phis", "bboxes")]
    try:
        with _opened(path) as file:
            pictures, phis, boxes = (_table(file, name, path) for name in names)
            folder = cache_folder(root, path)
            targets = [folder / f"{number + 1:04d}.png" for number in range(pictures.shape[1])]
            if phis.shape != (87, len(targets)) or boxes.shape != (4, len(targets)):
                raise InputError(
                    f"{path}: {names[1]} or {names[2]} does not fit {len(targets)} pictures; copy it again"
                )
            jobs = {to: _picture(file, pictures[0, n], f"{path} picture {n + 1}") for n, to in enumerate(targets)}
            problems = unpack(path.name, jobs)
    except InputError as error:
        return Loaded(path, (), (str(error),))
    rows = [number for number, target in enumerate(targets) if target.is_file()]
    loaded = collect(path, rows, lambda n: _sample(split, n, targets[n], phis[:, n], boxes[:, n]))
    return Loaded(path, loaded.samples, (*problems, *loaded.problems))


def occluded(root: Path, split: str) -> Array:
    """bool[N,29] in the file's order: which points are hidden."""
    path = need_file(root / f"COFW_{split}_color.mat", LAYOUT)
    with _opened(path) as file:
        flags: Array = _table(file, f"phis{SUFFIX[split]}", path)[58:].T > 0.5
        return flags


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    # h5py has no error of its own for a damaged file
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise InputError(f"{path}: not a readable HDF5 file, copy it again ({error})") from error


def _table(file: Any, name: str, path: Path) -> Array:
    if name not in file:
        raise InputError(f"{path}: no variable {name!r} in it, so it is another file")
    return np.asarray(file[name])


def _picture(file: Any, reference: Any, where: str) -> Callable[[], U8]:
    """A function that decodes one picture to u8[H,W,3], RGB: HDF5 holds [W,H] or [3,W,H]."""

    def get() -> U8:
        try:
            stored = np.asarray(file[reference]).T
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            raise InputError(f"{where}: cannot be read ({error})") from error
        if stored.dtype != np.uint8 or stored.ndim not in (2, 3) or stored.shape[2:] not in ((), (3,)):
            raise InputError(f"{where}: {stored.dtype} of shape {stored.shape} is no grey or RGB picture")
        return stored if stored.ndim == 3 else np.repeat(stored[:, :, None], 3, axis=2)

    return get


def _sample(split: str, number: int, path: Path, phis: Array, edges: Array) -> Sample:
    where = f"COFW_{split}_color.mat picture {number + 1}"
    if not np.isfinite(phis).all():
        raise InputError(f"{where}: a coordinate is not a finite number")
    points = phis[:58].reshape(2, 29).T - FIRST_PIXEL
    x, y, w, h = np.asarray(edges, np.float64)
    box = box_of(np.array([x, y, x + w, y + h]) - FIRST_PIXEL, where)
    name = f"cofw_{split}_{number + 1:04d}.png"
    return Sample(name, need_image(path, where), points.astype(np.float32), box=box)


COFW = DataSet(
    name="cofw",
    title="COFW (29 points)",
    schema="cofw29",
    splits={"train": 1345, "test": 507},
    read=read,
    crop="sepbn",
    normaliser="inter-ocular",
    layout=LAYOUT,
)
