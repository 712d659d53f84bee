"""COFW in its official layout: Matlab 7.3 files, which HDF5 shows transposed; pictures are behind references."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from lmdeploy.types import U8, Array

COUNTS = {"train": 3, "test": 2}


def picture(split: str, number: int) -> U8:
    """u8[H,W] or u8[H,W,3] as Matlab holds it; no two sizes are alike and every second one is grey."""
    rng = np.random.default_rng(number + len(split))
    shape = (40 + number, 50 + 2 * number) if number % 2 else (40 + number, 50 + 2 * number, 3)
    return rng.integers(0, 256, shape, np.uint8)


def rows(split: str) -> tuple[Array, Array]:
    """phis f64[N,87] and boxes f64[N,4] (x, y, w, h), as in the file."""
    rng = np.random.default_rng(len(split))
    count = COUNTS[split]
    points = rng.uniform(5, 38, (count, 58)).round(3)
    return np.hstack([points, rng.integers(0, 2, (count, 29))]), np.array([[4, 6, 30, 32]] * count, float)


def write_cofw(root: Path, split: str) -> Path:
    suffix = {"train": "Tr", "test": "T"}[split]
    phis, boxes = rows(split)
    path = root / f"COFW_{split}_color.mat"
    with h5py.File(path, "w", userblock_size=512) as file:  # Matlab's own header stands in the user block
        references = np.empty((1, COUNTS[split]), h5py.ref_dtype)
        for number in range(COUNTS[split]):
            stored = file.create_dataset(f"#refs#/{'abc'[number]}", data=picture(split, number).T)
            references[0, number] = stored.ref
        file.create_dataset(f"Is{suffix}", data=references, dtype=h5py.ref_dtype)
        file.create_dataset(f"phis{suffix}", data=phis.T)
        file.create_dataset(f"bboxes{suffix}", data=boxes.T)
    return path
