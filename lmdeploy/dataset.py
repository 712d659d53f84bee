"""Labelled and unlabelled folders of images: what training, evaluation and the gate all read.

    images/         the files; a plain folder of images works as unlabelled data too
    landmarks.csv   image,x0,y0,x1,y1,...  image px, an integer is a pixel centre; further columns are ignored,
                    so that predictions (image,frame,time_ms,track,score,x0,...) can be read as labels
    manifest.csv    image,identity,...     optional
    boxes.csv       image,x0,y0,x1,y1      optional landmark boxes, image px

An empty pair of cells is a point that is not annotated (NaN).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lmdeploy.csv_table import Row, Table, read_table
from lmdeploy.errors import DataError, InputError
from lmdeploy.images import list_images
from lmdeploy.schema import LandmarkSchema
from lmdeploy.types import F32, Box


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One image of a data set.

    name: as in the CSV. path: the image file. points: f32[K,2], image px, (x, y), NaN = not annotated; None when the
    image has no label. identity: "" when unknown. box: its row of boxes.csv, image px.
    """

    name: str
    path: Path
    points: F32 | None = None
    identity: str = ""
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a folder holds: the good samples, and one line per broken row or file."""

    origin: Path
    samples: tuple[Sample, ...]
    problems: tuple[str, ...] = ()

    def checked(self) -> list[Sample]:
        """The samples; DataError with the whole list when anything is broken, or nothing is left."""
        if self.problems:
            raise DataError(f"{self.origin}: {len(self.problems)} broken entries; mend or remove them", self.problems)
        if not self.samples:
            raise DataError(f"{self.origin}: no samples; a data folder holds images/ (and landmarks.csv)")
        return list(self.samples)


def read_labelled(folder: str | Path, schema: LandmarkSchema) -> list[Sample]:
    """Samples in the order of landmarks.csv; every broken row or file is named in one DataError."""
    return scan_labelled(folder, schema).checked()


def read_unlabelled(folder: str | Path) -> list[Sample]:
    """Samples without points, by name: of the same layout (a landmarks.csv is not looked at) or a plain folder."""
    return scan_unlabelled(folder).checked()


def scan_labelled(folder: str | Path, schema: LandmarkSchema) -> Loaded:
    """As `read_labelled`, but broken rows and missing files are left out and listed."""
    folder = Path(folder)
    if not (folder / "landmarks.csv").is_file():
        raise InputError(f"{folder}: no landmarks.csv, so this is not a labelled folder (images/ + landmarks.csv)")
    columns = [f"{axis}{k}" for k in range(schema.points) for axis in "xy"]
    table = read_table(folder / "landmarks.csv", columns)
    if f"x{schema.points}" in table.header:
        raise InputError(f"{folder / 'landmarks.csv'}: more points than the {schema.points} of schema {schema.name}")
    problems = list(table.problems)
    points: dict[str, F32 | None] = {}
    for row in table.rows.values():
        try:
            points[row.name] = _points(row, columns)
        except InputError as error:
            problems.append(str(error))
    samples, more = _samples(folder, points)
    return Loaded(folder, tuple(samples), (*problems, *more))


def scan_unlabelled(folder: str | Path) -> Loaded:
    """As `read_unlabelled`, but broken rows of boxes.csv or manifest.csv are listed."""
    folder = Path(folder)
    names = [path.name for path in list_images(image_folder(folder))]
    samples, problems = _samples(folder, dict.fromkeys(names))
    return Loaded(folder, tuple(samples), tuple(problems))


def image_folder(folder: Path) -> Path:
    """Where the images of a data folder lie: its images/, else the folder itself."""
    inner = folder / "images"
    return inner if inner.is_dir() else folder


def read_list(path: str | Path) -> list[str]:
    """Image names from a text file, one a line; empty lines are skipped, a name that comes twice is an error."""
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable text file of image names ({error})") from error
    names = [line.strip() for line in lines if line.strip()]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise DataError(f"{path}: {len(twice)} names stand in the list twice", twice)
    if not names:
        raise InputError(f"{path}: the list is empty")
    return names


def select(samples: Sequence[Sample], names: Iterable[str]) -> list[Sample]:
    """The samples of these names, in the order of the names; DataError lists the names that are not there."""
    known = {sample.name: sample for sample in samples}
    wanted = list(names)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise DataError(f"{len(unknown)} names of the list are not in the data", unknown)
    return [known[name] for name in wanted]


def _samples(folder: Path, points: dict[str, F32 | None]) -> tuple[list[Sample], list[str]]:
    manifest = _optional(folder / "manifest.csv", [])  # only its identity column counts, where there is one
    boxes = _optional(folder / "boxes.csv", ["x0", "y0", "x1", "y1"])
    problems = [*manifest.problems, *boxes.problems]
    images, samples = image_folder(folder), []
    for name, label in points.items():
        try:
            path = _image_path(images, name)
            box = _box(boxes.rows[name]) if name in boxes.rows else None
        except InputError as error:
            problems.append(str(error))
            continue
        identity = manifest.rows[name].get("identity") if name in manifest.rows else ""
        samples.append(Sample(name, path, label, identity, box))
    return samples, problems


def _optional(path: Path, columns: list[str]) -> Table:
    return read_table(path, columns) if path.is_file() else Table((), {}, ())


def _image_path(images: Path, name: str) -> Path:
    relative = Path(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise InputError(f"{name}: the name leads out of {images}")
    if not (images / relative).is_file():
        raise InputError(f"{name}: no such file in {images}")
    return images / relative


def _points(row: Row, columns: list[str]) -> F32:
    points = np.array(row.numbers(columns), np.float32).reshape(-1, 2)
    seen = np.isfinite(points)
    half = np.flatnonzero(seen[:, 0] != seen[:, 1])
    if len(half):
        raise InputError(f"{row.where}: point {half[0]} has only one of x and y")
    if not seen.any():
        raise InputError(f"{row.where}: no point is annotated")
    return points


def _box(row: Row) -> Box:
    box = Box(*row.numbers(["x0", "y0", "x1", "y1"]))
    if not (box.x1 > box.x0 and box.y1 > box.y0):
        raise InputError(f"{row.where}: the box has no area; x1 > x0 and y1 > y0 are needed")
    return box
