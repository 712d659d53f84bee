"""Attributes of images: class labels and real values that go with a data folder.

    attributes.csv    image,<name>:<C>,<name>,...   beside images/

A column <name>:<C> holds class indices 0 .. C - 1, any other a real value; an empty cell, or an image without a row,
is not known. The file that counts for an image is the one in the nearest folder above it, so labelled and unlabelled
folders have their own, and a copy of a published set has one in its root; columns of one name must mean the same in
all. Rows name the images as landmarks.csv does (published sets: as `lmdeploy data check` does).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lmdeploy.csv_table import Row, read_table
from lmdeploy.dataset import Sample
from lmdeploy.errors import DataError, InputError
from lmdeploy.types import F32

FILE = "attributes.csv"
DEPTH = 6  # folders between an image and the root of a published set, at most


class Column(NamedTuple):
    """An attribute: its name, and the number of its classes or 0 for a real value."""

    name: str
    classes: int


@dataclass(frozen=True, slots=True)
class Attributes:
    """values: f32[N,A], class index or real value of every image, NaN = not known."""

    columns: tuple[Column, ...]
    values: F32

    def rows(self, first: int, last: int) -> Attributes:
        """Those of images first .. last - 1."""
        return Attributes(self.columns, self.values[first:last])


def read_attributes(samples: Sequence[Sample]) -> Attributes | None:
    """What the folders of the samples say of them; None where no folder has a file.

    Errors: InputError for a header that makes no sense, DataError with every broken row.
    """
    nearest = {folder: _nearest(folder) for folder in dict.fromkeys(sample.path.parent for sample in samples)}
    folders = [nearest[sample.path.parent] for sample in samples]
    tables = {folder: _read(folder / FILE) for folder in dict.fromkeys(folders) if folder is not None}
    if not tables:
        return None
    columns = tuple(dict.fromkeys(column for names, _ in tables.values() for column in names))
    names = [column.name for column in columns]
    if len(set(names)) < len(names):
        raise InputError(f"{FILE}: the folders do not agree on the classes of {_twice(names)!r}; give all the same")
    values = np.full((len(samples), len(columns)), np.nan, np.float32)
    for i, (sample, folder) in enumerate(zip(samples, folders, strict=True)):
        told = tables[folder][1].get(sample.name, {}) if folder is not None else {}
        for column, value in told.items():
            values[i, columns.index(column)] = value
    return Attributes(columns, values)


def _nearest(folder: Path) -> Path | None:
    """The folder itself or the nearest one above it, at most DEPTH up, that holds the file."""
    return next((above for above in (folder, *folder.parents[:DEPTH]) if (above / FILE).is_file()), None)


Told = dict[str, dict[Column, float]]


def _read(path: Path) -> tuple[tuple[Column, ...], Told]:
    table = read_table(path, [])
    columns = {cell: _column(path, cell) for cell in table.header if cell != "image"}
    if not columns:
        raise InputError(f"{path}: no attribute: beside `image` give a column NAME (real value) or NAME:CLASSES")
    problems, found = list(table.problems), Told()
    for row in table.rows.values():
        try:
            found[row.name] = _values(row, columns)
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise DataError(f"{path}: {len(problems)} broken rows; mend or remove them", problems)
    return tuple(columns.values()), found


def _column(path: Path, cell: str) -> Column:
    name, colon, classes = cell.partition(":")
    if not name or (colon and not (classes.isdigit() and int(classes) >= 2)):
        raise InputError(f"{path}: column {cell!r}: write NAME for a real value, NAME:CLASSES for classes (2 or more)")
    return Column(name, int(classes or 0))


def _values(row: Row, columns: dict[str, Column]) -> dict[Column, float]:
    values = row.numbers(list(columns))
    for column, value in zip(columns.values(), values, strict=True):
        if column.classes and np.isfinite(value) and (value != int(value) or not 0 <= value < column.classes):
            raise InputError(f"{row.where}: {column.name} is {value:g}, not a class index 0..{column.classes - 1}")
    return dict(zip(columns.values(), values, strict=True))


def _twice(names: list[str]) -> str:
    return next(name for name in names if names.count(name) > 1)
