"""Linear warm-up: its weights and its loss (methods spec 4.2)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.oracles import selection
from tests.unit.training.conftest import made_batch, tiny_recipe, tiny_request
from training import job
from training.engine import checkpoint
from training.losses.landmark_error import landmark_error
from training.losses.weighted_mean import weighted_mean
from training.methods import linear_warmup
from training.models import transformer
from training.models.heatmap import Heatmap
from training.models.transformer import Transformer

TINY_TF = transformer.Config(width=16, heads=2, layers=1, feed_forward=16, dropout=0.0)


def test_the_weight_grows_from_a_tenth_to_one_in_four_rounds() -> None:
    cfg = linear_warmup.Config()
    assert [linear_warmup.lambda_of(cfg, t) for t in (1, 2, 3, 4)] == pytest.approx([0.1, 0.4, 0.7, 1.0])
    assert linear_warmup.lambda_of(linear_warmup.Config(rounds=1), 1) == 1.0


@pytest.mark.parametrize("weight", [0.0, 0.1, 0.7, 1.0])
@pytest.mark.parametrize("pseudo", [[False, True, True], [False] * 3, [True] * 3])
def test_the_loss_equals_the_slow_loop(weight: float, pseudo: list[bool]) -> None:
    network = Heatmap(tiny_recipe("linear_warmup").network, 4).eval()
    batch = made_batch(pseudo)
    visible = torch.rand(3, 4, generator=torch.Generator().manual_seed(3)) < 0.7
    batch = dataclasses.replace(batch, visible=visible)
    error = landmark_error(network(batch.x)[0], batch.target, batch.p).detach().numpy()
    wanted = selection.weighted_loss(error, visible.numpy(), pseudo, weight)
    loss = linear_warmup.weighted_step(weight)(network, batch)["loss"]
    assert loss.item() == pytest.approx(wanted, rel=1e-5)


def test_coordinates_are_weighted_too() -> None:
    network = Transformer(TINY_TF, 4).eval()
    batch = made_batch([False, True], coordinates=True)
    error = landmark_error(network(batch.x)[0], batch.target, batch.p).detach().numpy()
    wanted = selection.weighted_loss(error, np.ones((2, 4), bool), [False, True], 0.4)
    assert linear_warmup.weighted_step(0.4)(network, batch)["loss"].item() == pytest.approx(wanted, rel=1e-5)


def test_no_weight_at_all_gives_zero_and_no_nan_gradient() -> None:
    error = torch.rand(2, 3, requires_grad=True)
    weighted_mean(error, torch.zeros(2, 3)).backward()
    assert error.grad is not None
    assert torch.equal(error.grad, torch.zeros(2, 3))


def test_weight_one_is_naive_self_training_bit_for_bit(toy: Path, tmp_path: Path) -> None:
    warm = tiny_recipe("linear_warmup", lambda_first=1.0, lambda_last=1.0)
    runs = [
        job.run(tiny_request(toy, tmp_path / "warm", "linear_warmup", recipe=warm), lambda _: None),
        job.run(tiny_request(toy, tmp_path / "naive", "naive"), lambda _: None),
    ]
    first, second = (checkpoint.read(run).weights for run in runs)
    assert all(torch.equal(first[key], second[key]) for key in second)
