"""NNM and entropy: equal to slow loops, and every property that the method specification names (8.7)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.oracles import acquisition
from training.codec.base import gaussian
from training.codec.measures import SIDE as MEASURED_SIDE
from training.codec.measures import measure
from training.selection.entropy import entropy
from training.selection.nnm import nnm


def made(*shape: int, seed: int = 0, shift: float = 0.0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + shift


def peak(height: float, x: float = 16, y: float = 16, sigma: float = 2.0) -> Tensor:
    """One image with one map of 32 x 32 cells."""
    return height * gaussian(torch.tensor([[[x, y]]]), torch.tensor([sigma]), 32)


@pytest.mark.parametrize("side", [1, 3, 7, 15])
@pytest.mark.parametrize("shape", [(1, 1, 5, 5), (3, 4, 9, 12), (2, 3, 16, 16)])
def test_nnm_is_the_slow_loop(shape: tuple[int, ...], side: int) -> None:
    maps = made(*shape, seed=side)
    np.testing.assert_allclose(nnm(maps, side).numpy(), acquisition.nnm(maps.numpy(), side), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shift", [-10.0, 0.0, 1.0])
def test_entropy_is_the_slow_loop(shift: float) -> None:
    maps = made(3, 4, 9, 12, shift=shift)
    np.testing.assert_allclose(entropy(maps).numpy(), acquisition.entropy(maps.numpy()), rtol=1e-5)


def test_nnm_on_another_device_s_path_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = made(2, 3, 16, 16)
    wanted = nnm(maps, 7)
    monkeypatch.setattr("training.selection.nnm._peaks", lambda flat: flat.argmax(dim=-1))
    torch.testing.assert_close(nnm(maps, 7), wanted)


def test_nnm_with_the_exported_graph_s_window_is_the_graph_s() -> None:
    maps = made(4, 6, 16, 16)
    torch.testing.assert_close(nnm(maps, MEASURED_SIDE), measure(maps, 4).nnm.sum(dim=1))


def test_a_weak_map_is_selected_before_a_strong_one() -> None:
    values = nnm(torch.cat([peak(0.9), peak(0.1)]))
    assert values[1] > values[0]


def test_nnm_falls_with_the_peak_s_height() -> None:
    values = nnm(torch.cat([peak(height) for height in (0.1, 0.3, 0.6, 1.0)]))
    assert (values.diff() < 0).all()


def test_a_map_scaled_up_has_a_lower_nnm_where_its_window_s_sum_is_positive() -> None:
    maps = made(5, 3, 16, 16).abs()
    assert (nnm(1.5 * maps) < nnm(maps)).all()


def test_nnm_of_empty_maps_is_zero() -> None:
    assert nnm(torch.zeros(2, 3, 8, 8)).tolist() == [0.0, 0.0]


def test_negative_values_count_as_they_are() -> None:
    maps = torch.full((1, 1, 9, 9), -1.0)
    maps[0, 0, 4, 4] = 2.0
    assert nnm(maps, 3).item() == pytest.approx(-(2.0 - 8.0))


@pytest.mark.parametrize(("at", "cells"), [((0, 0), 4), ((0, 4), 6), ((8, 8), 4), ((4, 4), 9)])
def test_a_window_at_the_border_counts_only_cells_inside(at: tuple[int, int], cells: int) -> None:
    maps = torch.ones(1, 1, 9, 9)
    maps[0, 0, at[0], at[1]] = 2.0
    assert nnm(maps, 3).item() == -(cells + 1)


def test_entropy_of_a_flat_map_is_the_log_of_its_cells_and_of_one_cell_zero() -> None:
    one = torch.zeros(1, 1, 8, 6)
    one[0, 0, 2, 5] = 0.3
    assert entropy(torch.ones(1, 1, 8, 6)).item() == pytest.approx(math.log(48))
    assert entropy(one).item() == pytest.approx(0.0, abs=1e-6)


def test_a_map_without_positive_values_counts_as_flat() -> None:
    assert entropy(torch.full((1, 2, 8, 6), -1.0)).tolist() == pytest.approx([math.log(48)])


def test_entropy_does_not_change_with_the_map_s_scale() -> None:
    maps = made(3, 2, 8, 8).abs()
    torch.testing.assert_close(entropy(maps * 7), entropy(maps))


def test_maps_that_need_a_gradient_can_be_scored() -> None:
    maps = made(1, 2, 8, 8).requires_grad_()
    nnm(maps).sum().backward()
    assert maps.grad is not None
    assert set(maps.grad.unique().tolist()) <= {-1.0, 0.0}
