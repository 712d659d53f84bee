"""The picture of pseudo-labels shows each point where it lies."""

from __future__ import annotations

import numpy as np

from training.data.crops import Crops
from training.engine.pseudo_labels import SIDE, picture


def crops(points: list[tuple[float, float]], count: int) -> Crops:
    """Grey crops of 96 px with one point each, and a second one that is not annotated."""
    spread = [points[i % len(points)] for i in range(count)]
    pairs = np.array([[place, (np.nan, np.nan)] for place in spread], np.float32)
    grey = np.full((count, 96, 96, 3), 90, np.uint8)
    return Crops(grey, pairs, np.zeros((count, 2, 3)), tuple(map(str, range(count))))


def test_each_dot_lies_on_its_point() -> None:
    places = [(20.0, 30.0), (80.0, 10.0), (47.5, 47.5), (5.0, 90.0), (60.0, 70.0)]
    sheet = picture(crops(places, 5)).astype(int)
    assert sheet.shape == (2 * SIDE, 4 * SIDE, 3)
    for i, (x, y) in enumerate(places):
        row, column = divmod(i, 4)
        tile = sheet[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
        green = np.argwhere(tile[..., 1] - tile[..., 0] > 60)
        centre = green.mean(axis=0)[::-1]
        np.testing.assert_allclose(centre, (np.array([x, y]) + 0.5) * SIDE / 96 - 0.5, atol=0.3)  # px; measured 0.1


def test_of_many_crops_eight_are_shown_and_a_point_far_outside_does_no_harm() -> None:
    assert picture(crops([(1e9, -1e9)], 100)).shape == (2 * SIDE, 4 * SIDE, 3)
    assert picture(crops([(10.0, 10.0)], 1)).shape == (SIDE, 4 * SIDE, 3)
