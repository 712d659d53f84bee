"""HGR1 in its official layout: original_images and feature_points, three images of each of the 12 subjects."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lmdeploy.types import Array
from tests.odd_images import smooth_picture, write_jpeg

GESTURES = ("1_P", "A_P", "9_A")
NAMES = [f"{gesture}_hgr1_id{subject:02d}_1" for gesture in GESTURES for subject in range(1, 13)]
SIZE = (60, 80)  # height, width


def points(name: str) -> Array:
    """f64[25,2] of an image, whole pixels as in the file."""
    return np.random.default_rng(sum(name.encode())).integers([2, 2], [78, 58], (25, 2)).astype(float)


def xml(name: str) -> str:
    rows = "\n".join(f'    <FeaturePoint x="{x:.0f}" y="{y:.0f}" />' for x, y in points(name))
    image = f'<IMAGE NAME="{name}.jpg" WIDTH="{SIZE[1]}" HEIGHT="{SIZE[0]}" />'
    return f'<?xml version="1.0" encoding="utf-8"?>\n<HANDPICTURE>\n  {image}\n{rows}\n</HANDPICTURE>\n'


def write_hgr1(root: Path) -> Path:
    (root / "feature_points").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        write_jpeg(root / "original_images" / f"{name}.jpg", smooth_picture(*SIZE, seed=number))
        (root / "feature_points" / f"{name}.xml").write_text(xml(name), encoding="utf-8")
    return root
