"""Codecs: against slow loops, round trips, borders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles import heatmaps
from training.codec import CODECS
from training.codec.measures import SIDE, measure

CELLS, STRIDE = 16, 4
inside = st.floats(4, 59)


def _points(*pairs: tuple[float, float]) -> torch.Tensor:
    return torch.tensor([pairs], dtype=torch.float32)


@settings(max_examples=25, deadline=None)
@given(inside, inside, st.sampled_from([1.0, 1.5, 2.2]))
def test_subpixel_map_equals_the_equation(x: float, y: float, sigma: float) -> None:
    maps = CODECS["subpixel"].encode(_points((x, y)), torch.tensor([sigma]), CELLS, STRIDE)
    np.testing.assert_allclose(maps[0, 0].numpy(), heatmaps.subpixel_map(x, y, sigma, CELLS, STRIDE), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.floats(-3, 66), st.floats(-3, 66), st.sampled_from([1.5, 1.8, 2.2]))
def test_stld_map_and_point_equal_the_release_rule(x: float, y: float, sigma: float) -> None:
    maps = CODECS["stld"].encode(_points((x, y)), torch.tensor([sigma]), CELLS, STRIDE)
    wanted = heatmaps.stld_map(x, y, sigma, CELLS, STRIDE)
    np.testing.assert_allclose(maps[0, 0].numpy(), wanted, atol=1e-6)
    point = CODECS["stld"].decode(maps, STRIDE)[0, 0].tolist()
    assert point == pytest.approx(heatmaps.stld_point(wanted, STRIDE))


@settings(max_examples=50, deadline=None)
@given(inside, inside)
def test_subpixel_round_trip_is_exact(x: float, y: float) -> None:
    codec = CODECS["subpixel"]
    found = codec.decode(codec.encode(_points((x, y)), torch.tensor([1.5]), CELLS, STRIDE), STRIDE)
    assert torch.allclose(found, _points((x, y)), atol=2e-4)  # px; float32 logarithms, measured 2e-5


@settings(max_examples=50, deadline=None)
@given(inside, inside)
def test_stld_round_trip_is_within_half_a_cell_and_a_quarter_shift(x: float, y: float) -> None:
    codec = CODECS["stld"]
    found = codec.decode(codec.encode(_points((x, y)), torch.tensor([1.5]), CELLS, STRIDE), STRIDE)
    assert (found - _points((x, y))).abs().max() <= 0.5 * STRIDE + 1e-3


@pytest.mark.parametrize("x", [-0.5, 0.0, 63.0, 63.5])
def test_subpixel_finds_points_up_to_half_a_cell_outside(x: float) -> None:
    codec = CODECS["subpixel"]
    found = codec.decode(codec.encode(_points((x, 30.0)), torch.tensor([1.5]), CELLS, STRIDE), STRIDE)
    assert torch.allclose(found, _points((x, 30.0)), atol=2e-3)


def test_stld_shifts_a_quarter_cell_towards_the_higher_neighbour_and_never_at_the_border() -> None:
    maps = torch.zeros(1, 2, 8, 8)
    maps[0, 0, 4, 4], maps[0, 0, 4, 5] = 1.0, 0.5
    maps[0, 1, 0, 0], maps[0, 1, 0, 1], maps[0, 1, 1, 0] = 1.0, 0.5, 0.5
    found = CODECS["stld"].decode(maps, 1)[0]
    assert found[0].tolist() == [4 + 1 + 0.25 - 0.5, 4 + 1 - 0.5]
    assert found[1].tolist() == [0.5, 0.5]


def test_each_sample_has_its_own_sigma() -> None:
    points = _points((30, 30)).expand(2, 1, 2)
    maps = CODECS["subpixel"].encode(points, torch.tensor([1.5, 2.2]), CELLS, STRIDE)
    assert maps[1].sum() > maps[0].sum()


def test_flat_and_empty_maps_give_finite_points() -> None:
    for maps in (torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), -2.0), torch.ones(1, 3, 8, 8)):
        for codec in CODECS.values():
            assert torch.isfinite(codec.decode(maps, 4)).all()
        assert all(torch.isfinite(value).all() for value in measure(maps, 4))


@pytest.mark.parametrize(("column", "row"), [(8, 8), (0, 0), (15, 7), (1, 14)])
def test_nnm_counts_only_inside_the_map(column: int, row: int) -> None:
    draw = torch.Generator().manual_seed(1)
    maps = torch.rand(1, 1, CELLS, CELLS, generator=draw) * 0.5 - 0.1
    maps[0, 0, row, column] = 1.0
    assert measure(maps, 4).nnm.item() == pytest.approx(heatmaps.nnm(maps[0, 0].numpy(), SIDE), rel=1e-5)


def test_spread_grows_with_the_width_of_the_peak_and_score_is_its_clipped_height() -> None:
    points = _points((30, 30)).expand(2, 1, 2)
    maps = CODECS["subpixel"].encode(points, torch.tensor([0.8, 1.6]), CELLS, STRIDE)
    narrow, wide = measure(maps, STRIDE).spread[:, 0].tolist()
    assert narrow == pytest.approx(0.8 * STRIDE, rel=0.05)  # nearly the whole Gaussian lies in the window
    assert wide > narrow
    assert measure(maps * 3 - 1, STRIDE).score.max() == 1.0


@pytest.mark.parametrize(("row", "column"), [(0, 3), (7, 3), (3, 0), (3, 7), (0, 0), (7, 7)])
def test_a_peak_in_a_border_row_still_shifts_along_it(row: int, column: int) -> None:
    maps = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(row + 8 * column)) * 0.5
    maps[0, 0, row, column] = 1
    wanted = heatmaps.stld_point(maps[0, 0].numpy(), 4)
    assert CODECS["stld"].decode(maps, 4)[0, 0].tolist() == pytest.approx(wanted)
