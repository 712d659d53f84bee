"""Landmark errors of maps and coordinates, and their mean over one source."""

from __future__ import annotations

import pytest
import torch

from tests.oracles import heatmaps
from training.losses.landmark_error import l_p, landmark_error
from training.losses.source_mean import source_mean

ONE = torch.ones(3)


def masked_mse(out: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return source_mean(landmark_error(out, target, torch.ones(len(out))), mask)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_equals_the_slow_loop(batch: int, share: float) -> None:
    draw = torch.Generator().manual_seed(batch)
    out, target = (torch.rand(batch, 5, 4, 4, generator=draw) for _ in range(2))
    mask = torch.rand(batch, 5, generator=draw) < share
    wanted = heatmaps.masked_mse(out.numpy(), target.numpy(), mask.numpy())
    assert masked_mse(out, target, mask).item() == pytest.approx(wanted, rel=1e-5)


def test_one_source_does_not_depend_on_how_many_samples_the_other_has() -> None:
    out, target = torch.rand(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    gt = torch.tensor([[True] * 3, [False] * 3])
    alone = masked_mse(out[:1], target[:1], gt[:1])
    assert torch.equal(masked_mse(out, target, gt), alone)


def test_empty_source_gives_zero_and_no_nan_gradient() -> None:
    out = torch.rand(2, 3, 4, 4, requires_grad=True)
    masked_mse(out, torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, dtype=torch.bool)).backward()
    assert out.grad is not None
    assert torch.equal(out.grad, torch.zeros_like(out))


def test_p_1_is_l1_and_p_2_is_half_the_squared_error() -> None:
    gap = torch.tensor([-0.3, 0.0, 0.2, 1.5])
    torch.testing.assert_close(l_p(gap, torch.tensor(1.0)), gap.abs())
    torch.testing.assert_close(l_p(gap, torch.tensor(2.0)), gap.square() / 2)


@pytest.mark.parametrize("p", [1.0, 1.6, 2.4])
def test_the_gradient_is_the_power_of_the_error_and_finite_at_zero(p: float) -> None:
    gap = torch.tensor([0.1, 0.0, -0.4], requires_grad=True)
    l_p(gap, torch.tensor(p)).sum().backward()
    assert gap.grad is not None
    assert gap.grad.tolist() == pytest.approx([0.1 ** (p - 1), 0.0, -(0.4 ** (p - 1))], rel=1e-5)


def test_each_sample_has_its_own_p() -> None:
    out, target = torch.full((2, 1, 2), 0.1), torch.zeros(2, 1, 2)
    error = landmark_error(out, target, torch.tensor([1.0, 2.4]))
    assert error[:, 0].tolist() == pytest.approx([0.1, 0.1**2.4 / 2.4], rel=1e-5)


def test_the_batch_norm_divides_by_all_landmarks() -> None:
    error, mask = torch.ones(4, 2), torch.tensor([[True, False], [False] * 2, [False] * 2, [False] * 2])
    assert source_mean(error, mask, "batch").item() == pytest.approx(1 / 8)
    assert source_mean(error, mask, "per_source").item() == pytest.approx(1.0)
