"""Hard views: maps move with their image, and only a few rectangles are hidden."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.oracles import easy_hard as oracle
from training.augment import geometry, harder
from training.augment.warp_maps import warp_maps
from training.codec import subpixel


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_warped_maps_equal_the_slow_loops() -> None:
    maps = torch.rand(3, 2, 8, 8, generator=draw())
    matrices = harder.draw_matrices(3, 32, harder.Config(), draw(1))
    found = warp_maps(maps, matrices, 4).numpy()
    for b in range(3):
        for k in range(2):
            wanted = oracle.warped(maps[b, k].numpy(), matrices[b].double().numpy(), 4)
            np.testing.assert_allclose(found[b, k], wanted, atol=2e-5)  # fp32 of cells up to 8


def centroid(maps: torch.Tensor, stride: int) -> torch.Tensor:
    """Centres of mass f32[B,K,2] of maps, crop px."""
    axis, total = torch.arange(maps.shape[-1]).float(), maps.sum((2, 3))
    cells = torch.stack([(maps.sum(2) * axis).sum(-1) / total, (maps.sum(3) * axis).sum(-1) / total], dim=-1)
    return (cells + 0.5) * stride - 0.5


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_the_warp_of_maps_and_the_warp_of_coordinates_agree(stride: int) -> None:
    cells = 48
    size = cells * stride
    points = size * (0.35 + 0.3 * torch.rand(6, 5, 2, generator=draw()))
    maps = subpixel.encode(points, torch.full((6,), 2.0), cells, stride)
    matrices = harder.draw_matrices(6, size, harder.Config(), draw(3))
    warped = warp_maps(maps, matrices, stride)
    wanted = geometry.transform(matrices, points)
    torch.testing.assert_close(centroid(warped, stride), wanted, atol=0.03 * stride, rtol=0)  # cells; measured 0.015
    # bilinear resampling flattens the peak that the parabola is laid through; measured 0.105 cells
    torch.testing.assert_close(subpixel.decode(warped, stride), wanted, atol=0.15 * stride, rtol=0)


def test_the_image_moves_with_its_maps() -> None:
    points = torch.tensor([[[40.0, 24.0]]])
    image = subpixel.encode(points, torch.tensor([3.0]), 64, 1)
    matrices = harder.draw_matrices(1, 64, harder.Config(p_rotate=1.0), draw(5))
    seen = centroid(geometry.warp(image, matrices, 64), 1)
    maps = warp_maps(subpixel.encode(points, torch.tensor([1.5]), 16, 4), matrices, 4)
    torch.testing.assert_close(centroid(maps, 4), seen, atol=0.05, rtol=0)  # px; measured 0.022


def test_rotations_and_zooms_have_the_paper_s_ranges() -> None:
    matrices = harder.draw_matrices(4000, 64, harder.Config(), draw())
    zoom = torch.linalg.det(matrices[:, :, :2]).sqrt()
    angle = torch.rad2deg(torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    assert zoom.min() >= 0.7499
    assert zoom.max() <= 1.2501
    assert angle.abs().max() <= 60.001
    assert float((angle.abs() < 1e-3).float().mean()) == pytest.approx(0.2, abs=0.03)
    # N(0, 30) cut off at two standard deviations has 0.96 of its spread left
    assert float(angle[angle.abs() > 1e-3].std()) == pytest.approx(30 * 0.96, abs=1.5)
    centre = torch.full((4000, 1, 2), 31.5)
    torch.testing.assert_close(geometry.transform(matrices, centre), centre, atol=1e-3, rtol=0)


def regions(hidden: np.ndarray) -> int:
    """Number of 4-connected groups of hidden pixels."""
    left, count = {(int(r), int(c)) for r, c in np.argwhere(hidden)}, 0
    while left:
        count += 1
        edge = [left.pop()]
        while edge:
            r, c = edge.pop()
            for near in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
                if near in left:
                    left.remove(near)
                    edge.append(near)
    return count


@pytest.mark.parametrize("seed", range(4))
def test_cutout_never_touches_more_than_five_regions(seed: int) -> None:
    x = torch.ones(6, 3, 256, 256)
    points = torch.rand(6, 68, 2, generator=draw(seed)) * 256
    found = harder.hide_joints(x, points, harder.Config(), draw(seed + 10))
    largest = 5 * 41 * 41  # half sides of at most 20 px
    for b in range(6):
        hidden = (found[b] == 0).all(0).numpy()
        assert ((found[b] == 0).any(0).numpy() == hidden).all()
        assert 1 <= regions(hidden) <= 5
        assert hidden.sum() <= largest
        assert (found[b][:, ~hidden] == 1).all()


def test_cutout_lies_at_five_different_landmarks() -> None:
    points = torch.tensor([[24.0 + 34 * i, 128.0] for i in range(7)]).expand(40, 7, 2)
    cfg = harder.Config(jitter=0.0, half_side=(10.0, 15.0))
    found = harder.hide_joints(torch.ones(40, 3, 256, 256), points, cfg, draw())
    at_landmark = (found[:, 0, 128, :] == 0)[:, [24 + 34 * i for i in range(7)]]
    assert (at_landmark.sum(1) == 5).all()
    assert (at_landmark.sum(0) > 0).all()


def test_the_rectangles_keep_their_share_of_a_smaller_crop() -> None:
    cfg = harder.Config(jitter=0.0, joints=1, half_side=(16.0, 16.0))
    found = harder.hide_joints(torch.ones(1, 3, 64, 64), torch.full((1, 1, 2), 32.0), cfg, draw())
    assert math.isqrt(int((found[0, 0] == 0).sum())) == 2 * 4 + 1


def test_without_joints_nothing_is_hidden() -> None:
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(harder.hide_joints(x, torch.zeros(2, 4, 2), harder.Config(joints=0), draw()), x)
