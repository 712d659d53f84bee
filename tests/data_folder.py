"""Small data folders for tests, in the layout of lmdeploy.dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lmdeploy.types import Array
from tests.odd_images import smooth_picture, write_jpeg

HEADER68 = ["image", *(f"{axis}{k}" for k in range(68) for axis in "xy")]


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    """Comma-separated, NaN as an empty cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = [",".join("" if isinstance(c, float) and np.isnan(c) else str(c) for c in row) for row in [header, *rows]]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


def write_labelled(
    folder: Path, points: Mapping[str, Array], identities: Mapping[str, str] | None = None, size: int = 100
) -> Path:
    """images/ with smooth square pictures, landmarks.csv with points f[K,2] by image name, and manifest.csv."""
    for number, name in enumerate(points):
        write_jpeg(folder / "images" / name, smooth_picture(size, size, seed=number))
    count = len(next(iter(points.values())))
    header = ["image", *(f"{axis}{k}" for k in range(count) for axis in "xy")]
    write_csv(folder / "landmarks.csv", header, [[name, *map(float, of.ravel())] for name, of in points.items()])
    if identities:
        write_csv(folder / "manifest.csv", ["image", "identity"], list(identities.items()))
    return folder


def random_points(count: int, seed: int = 0, points: int = 68, low: float = 20, high: float = 80) -> dict[str, Array]:
    """`count` names with points f[K,2] inside a 100 px picture, to a thousandth of a pixel."""
    rng = np.random.default_rng(seed)
    return {f"im{n:03d}.jpg": rng.uniform(low, high, (points, 2)).round(3) for n in range(count)}
