"""TS3's codec and losses against slow loops and values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles import ts3 as oracle
from training.codec import ts3
from training.losses.detection import detection_loss, whole
from training.losses.quality import gap, teacher_loss

inside = st.floats(14, 49)  # three sigma away from the border of 64 px


def maps_of(x: float, y: float, sigma_px: float, cells: int, stride: int) -> torch.Tensor:
    return ts3.encode(torch.tensor([[[x, y]]]), torch.tensor([sigma_px / stride]), cells, stride)


@settings(max_examples=20, deadline=None)
@given(st.floats(-5, 70), st.floats(-5, 70), st.sampled_from([(8, 8), (16, 4), (64, 1)]))
def test_a_label_map_equals_the_equation(x: float, y: float, size: tuple[int, int]) -> None:
    found = maps_of(x, y, 3.0, *size)[0, 0].numpy()
    wanted = oracle.label_map(x, y, 3.0, *size)
    near_floor = abs(np.where(wanted > 0, wanted, found) - 0.01) < 1e-5  # float32 may fall on the other side
    np.testing.assert_allclose(np.where(near_floor, 0, found), np.where(near_floor, 0, wanted), atol=1e-5)


def test_a_label_s_smallest_values_are_cut_off() -> None:
    found = maps_of(31.5, 31.5, 3.0, 16, 4)
    assert found[found > 0].min() >= 0.01
    assert (found == 0).sum() > 200


# px; measured 0.060 (the cut-off tail moves the mean), 0.225 (the window ends at 1.3 sigma), 0.935 (sigma is 3/8 cell)
CLEAN = {(16, 4): 0.07, (64, 1): 0.24, (8, 8): 0.95}


@settings(max_examples=25, deadline=None)
@given(inside, inside, st.sampled_from(sorted(CLEAN)))
def test_a_clean_map_gives_its_point_back(x: float, y: float, size: tuple[int, int]) -> None:
    found = ts3.decode(maps_of(x, y, 3.0, *size), size[1])[0, 0]
    assert found.tolist() == pytest.approx([x, y], abs=CLEAN[size])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([1, 5, 8, 16]))
def test_decoding_any_map_equals_the_loop(seed: int, cells: int) -> None:
    maps = np.random.default_rng(seed).normal(size=(2, 3, cells, cells)).astype(np.float32)
    found = ts3.decode(torch.from_numpy(maps), 4).numpy()
    for b in range(2):
        for k in range(3):
            assert found[b, k].tolist() == pytest.approx(oracle.centroid(maps[b, k], 4), abs=1e-3)


def test_a_map_without_anything_positive_gives_its_largest_cell() -> None:
    maps = torch.full((1, 1, 8, 8), -1.0)
    maps[0, 0, 5, 2] = -0.5
    assert ts3.decode(maps, 8)[0, 0].tolist() == [2 * 8 + 3.5, 5 * 8 + 3.5]


def test_the_background_is_one_minus_the_largest_annotated_map() -> None:
    maps = torch.rand(2, 4, 8, 8)
    visible = torch.tensor([[True, True, False, True], [False] * 4])
    back = ts3.background(maps, visible)
    torch.testing.assert_close(back[0, 0], 1 - maps[0, [0, 1, 3]].amax(dim=0))
    assert (back[1] == 1).all()
    assert ((back >= 0) & (back <= 1)).all()


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("stages", [1, 3])
def test_the_detection_loss_equals_the_loop(back: bool, stages: int) -> None:
    draw = torch.Generator().manual_seed(stages)
    out = tuple(torch.randn(3, 4 + back, 8, 8, generator=draw) for _ in range(stages))
    target = torch.rand(3, 4, 8, 8, generator=draw)
    visible = torch.rand(3, 4, generator=draw) > 0.3
    found = float(detection_loss(out, target, visible))
    wanted = oracle.detection([o.numpy() for o in out], list(target.numpy()), visible.numpy(), back)
    assert found == pytest.approx(wanted, rel=1e-5)


def test_the_detection_loss_is_a_sum_over_maps_and_cells_and_a_mean_over_images() -> None:
    target, visible = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, dtype=torch.bool)
    stages = (torch.ones(2, 3, 4, 4), 2 * torch.ones(2, 3, 4, 4))
    assert float(detection_loss(stages, target, visible)) == 3 * 16 * (1 + 4)


def test_a_landmark_that_is_not_annotated_gets_no_gradient() -> None:
    out = torch.randn(1, 3, 4, 4, requires_grad=True)
    detection_loss((out,), torch.rand(1, 2, 4, 4), torch.tensor([[True, False]])).backward()
    assert out.grad is not None
    assert out.grad[0, 0].abs().min() > 0
    assert out.grad[0, 1].abs().max() == 0
    assert out.grad[0, 2].abs().max() > 0  # the background


def test_the_distance_is_zero_for_perfect_maps_and_one_for_empty_ones() -> None:
    points = torch.full((2, 5, 2), 31.5) + torch.rand(2, 5, 2)
    target = ts3.encode(points, torch.full((2,), 1.5), 16, 4)
    visible = torch.ones(2, 5, dtype=torch.bool)
    assert gap(target, target, visible, 1.5).tolist() == [0, 0]
    assert gap(torch.zeros_like(target), target, visible, 1.5).tolist() == pytest.approx([1, 1], abs=1e-3)
    perfect, _ = whole(target, visible, 6)
    assert gap(perfect, target, visible, 1.5).tolist() == [0, 0]
    assert gap(target, target, torch.zeros_like(visible), 1.5).tolist() == [0, 0]


def test_the_teacher_s_loss_is_zero_where_quality_is_minus_the_distance() -> None:
    distance = torch.tensor([0.0, 0.25, 1.5])
    assert float(teacher_loss(-distance, distance)) == 0
    assert float(teacher_loss(torch.tensor([1.0, 0.25, -1.0]), distance)) == pytest.approx((1 + 0.5 + 0.5) / 3)


def test_perfect_labels_rank_first_for_a_teacher_that_has_learnt_everything() -> None:
    """q = -distance: the further the maps from the truth, the lower."""
    points = torch.full((1, 4, 2), 31.5)
    target = ts3.encode(points, torch.tensor([0.75]), 16, 4)
    moved = [ts3.encode(points + shift, torch.tensor([0.75]), 16, 4) for shift in (0.0, 1.0, 3.0, 8.0)]
    q = [-float(gap(maps, target, torch.ones(1, 4, dtype=torch.bool), 0.75)) for maps in moved]
    assert q == sorted(q, reverse=True)
    assert math.isclose(q[0], 0)
    assert q[3] < q[2] < q[1] < q[0]
