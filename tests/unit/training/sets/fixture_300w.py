"""300-W in its official layout, two or three images a folder, one with a space in its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from lmdeploy.types import Array
from tests.odd_images import smooth_picture
from tests.unit.training.sets.fixture_pts import write_pts

FILES = {
    "afw": ["134212_1.jpg", "134212_2.jpg"],
    "helen/trainset": ["100032540_1.jpg"],
    "helen/testset": ["30427236_1.jpg"],
    "lfpw/trainset": ["image_0001.png"],
    "lfpw/testset": ["image_0001.png", "image_0002.png"],
    "ibug": ["image_003_1.jpg", "image_092 _01.jpg"],
}


def raw_points(folder: str, name: str) -> Array:
    """f64[68,2] as in the file (1-based), inside 90 x 120 px; no two images share them."""
    rng = np.random.default_rng(sum(f"{folder}/{name}".encode()))
    return rng.uniform([15, 12], [100, 80], (68, 2)).round(6)


def write_300w(root: Path) -> Path:
    for folder, names in FILES.items():
        for name in names:
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(smooth_picture(90, 120, seed=len(name))).save(root / folder / name)
            write_pts((root / folder / name).with_suffix(".pts"), raw_points(folder, name))
    return root


def write_boxes(root: Path, folder: str, rows: dict[str, tuple[list[float], list[float]]]) -> Path:
    """bounding_boxes_<folder>.mat: a cell array of structures; rows: image -> (detector box, true box), 1-based."""
    cells = np.empty((1, len(rows)), object)
    for number, (name, (detector, truth)) in enumerate(rows.items()):
        cells[0, number] = {"imgName": name, "bb_detector": np.array([detector]), "bb_ground_truth": np.array([truth])}
    path = root / f"bounding_boxes_{folder.replace('/', '_')}.mat"
    savemat(path, {"bounding_boxes": cells})
    return path
