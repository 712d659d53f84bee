"""Parts become one list: oversampling, sources, and rows that come from where they say."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from training.data.crops import Crops
from training.engine.train_set import Part, TrainSet


def crops(count: int, first: int) -> Crops:
    """Crops whose every pixel and coordinate is their number."""
    numbers = np.arange(first, first + count)
    images = np.broadcast_to(numbers[:, None, None, None], (count, 4, 4, 3)).astype(np.uint8)
    points = np.broadcast_to(numbers[:, None, None], (count, 2, 2)).astype(np.float32)
    return Crops(images, points, np.zeros((count, 2, 3)), tuple(map(str, numbers)))


def test_oversampling_fifty_to_a_hundred_keeps_each_image_exactly_twice() -> None:
    data = TrainSet([Part(crops(50, 0), oversample=100)])
    seen = Counter(data.gather(torch.arange(len(data))).points[:, 0, 0].int().tolist())
    assert set(seen.values()) == {2}
    assert len(seen) == 50


@pytest.mark.parametrize("oversample", [0, 3, 7])
def test_a_list_that_is_long_enough_stays_as_it_is(oversample: int) -> None:
    assert len(TrainSet([Part(crops(7, 0), oversample=oversample)])) == 7


def test_rows_of_several_parts_keep_image_points_source_and_sigma_together() -> None:
    data = TrainSet([Part(crops(5, 0), oversample=10), Part(crops(6, 100), pseudo=True, sigma=2.2)])
    rows = data.gather(torch.randperm(len(data), generator=torch.Generator().manual_seed(0)))
    numbers = rows.points[:, 0, 0]
    assert torch.equal(rows.images[:, 0, 0, 0].float(), numbers)
    assert torch.equal(rows.pseudo, numbers >= 100)
    assert torch.equal(rows.sigma, torch.where(numbers >= 100, 2.2, 1.5))
    assert int(rows.pseudo.sum()) == 6
