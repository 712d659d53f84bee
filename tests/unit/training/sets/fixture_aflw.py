"""AFLW with CCL's AFLWinfo_release.mat in its official layout, eight images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import savemat

from lmdeploy.types import Array
from tests.odd_images import smooth_picture, write_jpeg

COUNT = 8
RA = np.array([3, 1, 8, 5, 2, 7, 4, 6])  # 1-based
NAMES = [f"{(0, 2, 3)[n % 3]}/image{n + 2:05d}.jpg" for n in range(COUNT)]
HIDDEN = {1: [0], 6: [3, 4]}  # 0-based image -> points that cannot be seen


def info() -> dict[str, Array]:
    rng = np.random.default_rng(2)
    mask = np.ones((COUNT, 19), np.uint8)
    for image, gone in HIDDEN.items():
        mask[image, gone] = 0
    names = np.empty((COUNT, 1), object)
    names[:, 0] = NAMES
    box = np.array([[5 + n, 75 + n, 4, 54] for n in range(COUNT)], float)  # xmin, xmax, ymin, ymax
    data = np.hstack([rng.uniform(10, 80, (COUNT, 19)), rng.uniform(10, 50, (COUNT, 19))])
    data[2, 0], data[2, 19] = -3.5, 61.0  # image 3 has a point outside
    return {"bbox": box, "data": data, "mask_new": mask, "nameList": names, "ra": RA[None]}


def write_aflw(root: Path, **changed: Array) -> Path:
    for number, name in enumerate(NAMES):
        write_jpeg(root / "flickr" / name, smooth_picture(60, 90, seed=number))
    savemat(root / "AFLWinfo_release.mat", {**info(), **changed})
    return root
