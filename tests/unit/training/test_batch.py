"""Batches: two views of one sample, and the map of points between them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.unit.training.conftest import tiny_request
from training import job
from training.augment import config
from training.engine.batch import carry
from training.engine.train_set import Part, TrainSet

STRONG = config.Config(p_flip=0.5, p_scale=1.0, p_rotate=1.0, noise=0.0)


@pytest.mark.parametrize("seed", range(4))
def test_points_are_carried_from_view_to_view(seed: int, toy: Path, tmp_path: Path) -> None:
    ready = job.prepare(tiny_request(toy, tmp_path, "supervised"))
    drawer = ready.trainer.drawer([Part(ready.labelled)])
    first = drawer.draw(torch.arange(6), torch.Generator().manual_seed(seed))
    second = first.view(STRONG)
    assert not torch.equal(first.x, second.x)
    assert (first.flip != second.flip).any()
    carried = carry(first.points, first, second, drawer.flip_index)
    torch.testing.assert_close(carried, second.points, atol=2e-3, rtol=0)  # px; fp32 of two affine maps


def test_only_the_chosen_rows_are_drawn_and_scores_come_along(toy: Path, tmp_path: Path) -> None:
    ready = job.prepare(tiny_request(toy, tmp_path, "stld"))
    assert ready.unlabelled is not None
    pseudo = ready.trainer.pseudo_label(ready.trainer.new_network(), ready.unlabelled, "round0")
    assert pseudo.score is not None
    data = TrainSet([Part(ready.labelled), Part(pseudo, pseudo=True, rows=(7, 2)), Part(pseudo, rows=())])
    assert data.lengths == (12, 2, 0)
    rows = data.gather(torch.tensor([0, 12, 13]))
    assert rows.score is not None
    torch.testing.assert_close(rows.score[1:].numpy(), pseudo.score[[7, 2]])
    assert (rows.score[0] == 1).all()
    torch.testing.assert_close(rows.points[1:].numpy(), pseudo.points[[7, 2]])
