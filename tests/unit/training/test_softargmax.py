"""Soft-argmax (Eq. 1 of Honari et al.) and what else turns maps into points that a loss can use."""

from __future__ import annotations

import math

import pytest
import torch

from training.codec import CODECS, pixel, softargmax
from training.codec.soft_points import soft_points
from training.losses.squared_distance import cell_likelihood, squared_distance


def slow_softargmax(maps: torch.Tensor, beta: float) -> torch.Tensor:
    """Eq. 1 cell by cell, cells (x, y)."""
    points = torch.zeros(*maps.shape[:2], 2)
    for b, image in enumerate(maps.tolist()):
        for k, rows in enumerate(image):
            total = sum(math.exp(beta * value) for row in rows for value in row)
            for j, row in enumerate(rows):
                for i, value in enumerate(row):
                    points[b, k] += torch.tensor([i, j]) * math.exp(beta * value) / total
    return points


def delta(x: int, y: int, size: int = 12, height: float = 1.0) -> torch.Tensor:
    maps = torch.zeros(1, 1, size, size)
    maps[0, 0, y, x] = height
    return maps


@pytest.mark.parametrize("beta", [0.3, 1.0, 2.0])
def test_it_is_the_sum_of_eq_1(beta: float) -> None:
    maps = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(softargmax.decode(maps, 1, beta), slow_softargmax(maps, beta), rtol=1e-5, atol=1e-5)


def test_a_delta_of_large_beta_gives_its_own_position() -> None:
    found = softargmax.decode(delta(3, 8), 1, beta=100.0)
    torch.testing.assert_close(found, torch.tensor([[[3.0, 8.0]]]), rtol=0, atol=1e-4)


def test_a_uniform_map_and_beta_0_give_the_centre() -> None:
    centre = torch.full((1, 1, 2), 5.5)
    torch.testing.assert_close(softargmax.decode(torch.full((1, 1, 12, 12), 3.0), 1), centre)
    torch.testing.assert_close(softargmax.decode(delta(0, 0, height=50.0), 1, beta=1e-6), centre, rtol=0, atol=1e-3)


def test_a_shifted_interior_peak_shifts_the_point_as_far() -> None:
    places = torch.tensor([[[10.0, 9.0], [13.0, 7.0]]])
    peak, moved = softargmax.decode(CODECS["subpixel"].encode(places, torch.tensor([1.5]), 24, 1), 1, 40.0)[0]
    torch.testing.assert_close(moved - peak, torch.tensor([3.0, -2.0]), rtol=0, atol=1e-3)


def test_the_gradient_is_finite_and_reaches_every_cell() -> None:
    maps = torch.randn(2, 3, 6, 6, requires_grad=True)
    softargmax.decode(maps, 2).square().sum().backward()
    assert maps.grad is not None
    assert torch.isfinite(maps.grad).all()
    assert (maps.grad != 0).all()


def test_cells_are_counted_at_their_centres() -> None:
    found = softargmax.decode(delta(2, 0, size=4), 3, beta=100.0)
    torch.testing.assert_close(found, torch.tensor([[[7.0, 1.0]]]), rtol=0, atol=1e-4)


def test_measures_of_a_sharp_and_of_a_flat_map() -> None:
    sharp = CODECS["softargmax"].measure((delta(6, 6, height=30.0),), 2)
    flat = CODECS["softargmax"].measure((torch.zeros(1, 1, 12, 12),), 2)
    assert float(sharp.score) == pytest.approx(1.0, abs=1e-6)
    assert float(sharp.spread) == pytest.approx(0.0, abs=1e-3)
    assert float(flat.score) == pytest.approx(16 / 144)  # the largest cell is the first one: 4 x 4 cells of the window
    assert float(flat.spread) == pytest.approx(2 * math.sqrt((12**2 - 1) / 12), rel=1e-5)  # of a uniform axis


def test_pixel_answers_no_finer_than_its_grid() -> None:
    """Heatmap-MT's floor: the mean error over all places of a cell is that of the cell's centre."""
    truth = torch.rand(500, 1, 2, generator=torch.Generator().manual_seed(0)) * 4 + 4.0  # cells of 4 px
    maps = CODECS["subpixel"].encode(truth, torch.ones(500), 8, 4)
    error = (pixel.decode(maps, 4) - truth).norm(dim=-1).mean()
    assert float(error) >= 4 * 0.3826 * 0.95  # mean distance to the centre of a unit square: 0.3826


def test_cell_likelihood_is_a_cross_entropy_over_cells() -> None:
    maps = torch.randn(3, 2, 5, 5, generator=torch.Generator().manual_seed(2))
    points = torch.tensor([[0.0, 0.0], [9.0, 8.0]]).expand(3, 2, 2)  # stride 2: cells (0, 0) and (4, 4)
    told = -torch.log_softmax(maps.flatten(2), dim=-1)
    wanted = torch.stack([told[:, 0, 0], told[:, 1, 24]], dim=1)
    torch.testing.assert_close(cell_likelihood(maps, points, 2), wanted)


def test_squared_distance_by_hand() -> None:
    assert squared_distance(torch.tensor([[[3.0, 4.0]]]), torch.zeros(1, 1, 2)).tolist() == [[25.0]]


@pytest.mark.parametrize("codec", ["subpixel", "stld"])
def test_soft_points_find_a_drawn_peak_and_carry_a_gradient(codec: str) -> None:
    points = torch.tensor([[[20.0, 33.0], [40.0, 12.0]]])
    maps = CODECS[codec].encode(points, torch.tensor([1.5]), 16, 4).requires_grad_()
    found = soft_points(maps, codec, 4)
    torch.testing.assert_close(
        found.detach(), points, rtol=0, atol=1.0 if codec == "subpixel" else 4
    )  # px; a cell is 4
    found.sum().backward()
    assert maps.grad is not None
    assert maps.grad.abs().sum() > 0


def test_soft_points_of_coordinates_are_their_own_decoding() -> None:
    out = torch.rand(2, 3, 2)
    torch.testing.assert_close(soft_points(out, "coords", 64), out * 64 - 0.5)
    torch.testing.assert_close(soft_points(out, "point", 64), out * 64 - 0.5)
