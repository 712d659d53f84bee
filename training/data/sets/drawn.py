"""Shapes and Blocks as published sets: drawn by `lmdeploy data make NAME OUT`, since their authors published no files.

One folder per split in the layout of lmdeploy.dataset, with attributes.csv; the whole 60 px image is the crop.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from lmdeploy.dataset import Loaded, scan_labelled
from lmdeploy.errors import InputError
from lmdeploy.schema import load_schema
from training.data import blocks, shapes
from training.data.drawn import Drawn, write_folder
from training.data.sets.base import DataSet, need_file

SEEDS = {"train": 1, "valid": 2, "test": 3}
LAYOUT = "  train/  valid/  test/    each with images/, landmarks.csv, boxes.csv, attributes.csv"


def read(schema: str, root: Path, split: str) -> Loaded:
    """All samples of a split."""
    need_file(root / split / "landmarks.csv", LAYOUT)
    return scan_labelled(root / split, load_schema(schema))


def make(draw: Callable[[int, int], Drawn], counts: dict[str, int], out: Path) -> None:
    """Draw every split into `out`, which must be a new or empty folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there and not an empty folder: choose a new one")
    for split, count in counts.items():
        write_folder(out / split, draw(count, SEEDS[split]))


def _set(name: str, title: str, schema: str, counts: dict[str, int], draw: Callable[[int, int], Drawn]) -> DataSet:
    return DataSet(
        name=name, title=title, schema=schema, splits=counts, read=partial(read, schema), crop="whole_60",
        normaliser="image size", layout=LAYOUT, make=partial(make, draw, counts),
    )  # fmt: skip


BLOCKS = _set(
    "blocks", "Blocks (15 figures of six parts)", "blocks6", {"train": 3200, "valid": 3200, "test": 3200}, blocks.draw
)
SHAPES = _set(
    "shapes", "Shapes (a square and a triangle)", "shapes2", {"train": 10000, "valid": 1000, "test": 1000}, shapes.draw
)
