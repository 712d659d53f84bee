"""WFLW in its official layout: five training and six test lines, two of them faces of one image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lmdeploy.types import Array
from tests.odd_images import smooth_picture, write_jpeg

IMAGES = ["0--Parade/0_Parade_marchingband_1_116.jpg", "7--Cheering/7_Cheering_Cheering_7_16.jpg"]
# pose expression illumination makeup occlusion blur
FLAGS = {
    "train": ["000000", "100000", "000000", "000001", "111111"],
    "test": ["100000", "110000", "001000", "000100", "100011", "000000"],
}
BOX = (11, 9, 71, 79)


def points(kind: str, row: int) -> Array:
    """f64[98,2] of a line (0 is the first), as in the file."""
    rng = np.random.default_rng(100 * row + len(kind))
    return rng.uniform([10, 10], [80, 70], (98, 2)).round(6)


def line(kind: str, row: int) -> str:
    numbers = " ".join(f"{value:.6f}" for value in points(kind, row).ravel())
    return f"{numbers} {' '.join(map(str, BOX))} {' '.join(FLAGS[kind][row])} {IMAGES[row % 2]}"


def write_wflw(root: Path) -> Path:
    for number, name in enumerate(IMAGES):
        write_jpeg(root / "WFLW_images" / name, smooth_picture(80, 100, seed=number))
    folder = root / "WFLW_annotations" / "list_98pt_rect_attr_train_test"
    folder.mkdir(parents=True)
    for kind, flags in FLAGS.items():
        text = "\n".join(line(kind, row) for row in range(len(flags)))
        (folder / f"list_98pt_rect_attr_{kind}.txt").write_text(text + "\n", encoding="utf-8")
    return root
