"""The masked loss of STLD's heatmap model."""

from __future__ import annotations

import pytest
import torch

from tests.oracles import heatmaps
from training.losses.masked_mse import masked_mse


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
