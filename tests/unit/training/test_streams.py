"""Two streams, the teacher's answer and averaged weights."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from lmdeploy import geometry as np_geometry
from tests.unit.training.conftest import made_batch, tiny_recipe
from training.augment import config
from training.engine.average import Averaged
from training.engine.batch import Batch, carry
from training.engine.streams import answer, rows_of, split
from training.models.heatmap import Heatmap


def test_the_labelled_rows_come_first_and_their_views_are_split_alike() -> None:
    batch = made_batch([False, False, True, True, True, True])
    known, u = split(batch, 2)
    assert not known.pseudo.any()
    assert u.pseudo.all()
    assert torch.equal(torch.cat([known.x, u.x]), batch.x)
    assert torch.equal(u.view(config.Config()).points, batch.points[2:])


def test_the_teacher_s_answer_has_no_gradient_and_leaves_batch_norm_alone() -> None:
    network = Heatmap(tiny_recipe("stld").network, 4).train()
    before = copy.deepcopy(network.state_dict())
    x = torch.randn(5, 3, 32, 32)
    main, _ = answer(network, x)
    assert not main.requires_grad
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    torch.testing.assert_close(answer(network, x[:1])[0], main[:1])  # batch mates do not matter
    torch.testing.assert_close(network.eval().predict(x), main)


@pytest.mark.parametrize("seed", range(3))
def test_carrying_is_the_composition_of_both_views_affines(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    source, other = (torch.randn(6, 2, 3, generator=draw) * 0.2 + torch.eye(2, 3) for _ in range(2))
    source, other = (torch.cat([m[..., :2], m[..., 2:] * 40], -1) for m in (source, other))
    flips = torch.rand(2, 6, generator=draw) < 0.5
    index = torch.tensor([1, 0, 2, 3])
    points = torch.rand(6, 4, 2, generator=draw) * 32

    def view(matrix: torch.Tensor, flip: torch.Tensor) -> Batch:
        batch = made_batch([True] * 6)
        return Batch(**{f: getattr(batch, f) for f in batch.__slots__} | {"matrix": matrix, "flip": flip})

    found = carry(points, view(source, flips[0]), view(other, flips[1]), index)
    for b in range(6):
        # one 3x3 product, against one map after the other in the code under test
        rows = [np.vstack([m[b].numpy().astype(np.float64), [0, 0, 1]]) for m in (source, other)]
        known = points[b, index] if flips[0, b] != flips[1, b] else points[b]
        wanted = np_geometry.transform((rows[1] @ np.linalg.inv(rows[0]))[:2], known.numpy())
        np.testing.assert_allclose(found[b].numpy(), wanted, atol=2e-3)  # px; fp32 of two maps


def test_the_average_is_the_recursion_written_out() -> None:
    network = Heatmap(tiny_recipe("stld").network, 4)
    averaged = Averaged(network, 0.3)
    wanted = network.main.bias.detach().clone()
    for n in range(1, 6):
        nn.init.constant_(network.main.bias, float(n))
        averaged.update()
        d = min(0.3, (1 + n) / (10 + n))
        wanted = d * wanted + (1 - d) * n
    torch.testing.assert_close(averaged.average.main.bias, wanted)
    assert not any(weight.requires_grad for weight in averaged.average.parameters())
    assert "updates" in averaged.state_dict()


def test_running_statistics_are_averaged_and_counters_copied() -> None:
    network = Heatmap(tiny_recipe("stld").network, 4)
    averaged = Averaged(network, 0.0)
    averaged.train()(torch.randn(4, 3, 32, 32))
    averaged.update()
    assert all(torch.equal(a, b) for a, b in zip(averaged.average.buffers(), network.buffers(), strict=True))


def test_rows_of_a_batch_keep_every_field_in_step() -> None:
    batch = made_batch([False, True, True])
    part = rows_of(batch, slice(1, None))
    for name in ("x", "points", "target", "visible", "pseudo", "p", "score", "matrix", "flip"):
        assert torch.equal(getattr(part, name), getattr(batch, name)[1:])
