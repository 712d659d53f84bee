"""STLD's lists with their crops: twelve names of a training set, nested labelled lists of two and four."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lmdeploy.types import Array
from tests.odd_images import smooth_picture, write_jpeg

NAMES = [f"aflw_train_{n:05d}.jpg" for n in (7, 3, 11, 1, 12, 2, 9, 4, 10, 5, 8, 6)]
TEST = [f"aflw_test_{n:05d}.jpg" for n in (13, 14)]
SIDE = 64


def labels(name: str) -> Array:
    """f64[19,2], crop-normalised; some lie outside the crop, as in the release."""
    return np.random.default_rng(sum(name.encode())).uniform(-0.06, 1.16, (19, 2)).round(6)


def labelled(names: list[str]) -> str:
    return "".join(f"{name} {' '.join(f'{v:.6f}' for v in labels(name).ravel())}\n" for name in names)


def write_lists(root: Path) -> Path:
    for folder, names in (("images_train", NAMES), ("images_test", TEST)):
        for number, name in enumerate(names):
            write_jpeg(root / folder / name, smooth_picture(SIDE, SIDE, seed=number))
    for count in (2, 4):
        (root / f"train_semi_l_{count}.txt").write_text(labelled(NAMES[:count]))
        (root / f"train_semi_u_{count}.txt").write_text("\n".join(NAMES[count:]) + "\n")
    (root / "test.txt").write_text(labelled(TEST))
    return root
