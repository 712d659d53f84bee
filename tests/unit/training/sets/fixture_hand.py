"""The Digital Hand Atlas in the universal-landmark work's layout, complete: 910 rows, 909 (small) images, 3 folds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lmdeploy.types import Array
from tests.odd_images import encoded, smooth_picture

IDS = [str(3000 + n) for n in range(910)]
ABSENT = "3650"  # the row without an image
SIZE = (40, 60)  # height, width
# Test ids of the three folds, 298 + 298 + 299 of 895; the other ids of the 895 train
FOLDS = {1: IDS[:298], 2: IDS[298:596], 3: IDS[596:650] + IDS[651:896]}


def points(name: str) -> Array:
    """f64[37,2] of an id, whole pixels as in the file."""
    return np.random.default_rng(int(name)).integers([1, 1], [59, 39], (37, 2)).astype(float)


def line(name: str) -> str:
    return ",".join([name, *(f"{value:.0f}" for value in points(name).ravel())])


def write_hand(root: Path) -> Path:
    content = encoded(Image.fromarray(smooth_picture(*SIZE)), "JPEG")
    (root / "jpg").mkdir(parents=True)
    for name in [*IDS, "9001"]:  # 9001 has no row: the atlas holds more images than are annotated
        if name != ABSENT:
            (root / "jpg" / f"{name}.jpg").write_bytes(content)
    # The rows do not stand in the order of the files
    (root / "all.csv").write_text("\n".join(line(name) for name in reversed(IDS)) + "\n", encoding="utf-8")
    everyone = [name for test in FOLDS.values() for name in test]
    for number, test in FOLDS.items():
        folder = root / "cv" / f"set{number}"
        folder.mkdir(parents=True)
        (folder / "test.txt").write_text("\n".join(test) + "\n", encoding="utf-8")
        train = [name for name in everyone if name not in set(test)]
        (folder / "train.txt").write_text("\n".join(train) + "\n", encoding="utf-8")
    return root
