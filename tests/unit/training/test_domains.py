"""Domains of head pose, and training with batch norms of their own (brute-force SepBN)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lmdeploy.errors import InputError
from tests.unit.training.conftest import made_batch, tiny_recipe, tiny_request
from training import job
from training.data import domains
from training.methods import METHODS, brute_force, supervised
from training.models import build
from training.models.sepbn import BruteForce, route


def heads(yaw_degrees: Tensor, noise: float = 0.02) -> Tensor:
    """Six points f32[N,6,2] of a head turned by yaw, in crops of any place, size and small turn."""
    torch.manual_seed(0)
    front = torch.tensor([[-1.0, -1, 0], [1, -1, 0], [0, 0, 1.2], [-0.6, 1, 0.2], [0.6, 1, 0.2], [0, 1.6, 0.1]])
    yaw = torch.deg2rad(yaw_degrees).view(-1, 1)
    x = yaw.cos() * front[:, 0] + yaw.sin() * front[:, 2]
    shapes = torch.stack([x, front[:, 1].expand_as(x)], dim=-1) + torch.randn(len(x), 6, 2) * noise
    turn = torch.rand(len(x)) - 0.5
    cos, sin = turn.cos().view(-1, 1), turn.sin().view(-1, 1)
    turned = torch.stack(
        [cos * shapes[..., 0] - sin * shapes[..., 1], sin * shapes[..., 0] + cos * shapes[..., 1]], -1
    )
    return turned * (20 + 30 * torch.rand(len(x), 1, 1)) + 100 * torch.rand(len(x), 1, 2)


YAW = torch.cat([torch.linspace(-12, 12, 30), torch.linspace(-75, -50, 12), torch.linspace(50, 75, 18)])
TRUE = domains.by_yaw(YAW)


def test_yaw_of_more_than_30_degrees_is_a_profile() -> None:
    assert domains.by_yaw(torch.tensor([-90.0, -30.5, -30, 0, 30, 30.5])).tolist() == [1, 1, 0, 0, 0, 2]


def test_k_means_finds_the_three_poses_whatever_place_size_and_turn() -> None:
    points = heads(YAW)
    centres = domains.fit(points, seed=3)
    found = domains.of(points, centres)
    assert centres.shape == (3, 6, 2)
    groups = {tuple(sorted(set(found[t == TRUE].tolist()))) for t in range(3)}
    assert sorted(groups) == [(0,), (1,), (2,)]  # one found domain for each true one
    assert found[TRUE == 0][0] == 0  # frontal ones are most
    assert torch.equal(domains.of(points * 3 - 50, centres), found)


def test_a_mirrored_left_profile_is_a_right_one() -> None:
    points = heads(YAW)
    centres = domains.fit(points)
    found = domains.of(points, centres)
    mirrored = points[:, [1, 0, 2, 4, 3, 5]] * torch.tensor([-1.0, 1.0])
    swapped = domains.of(mirrored, centres)
    assert (swapped[TRUE == 1] == found[TRUE == 2][0]).all()
    assert (swapped[TRUE == 2] == found[TRUE == 1][0]).all()


def test_shapes_with_a_missing_point_go_to_the_largest_domain_and_are_not_fitted() -> None:
    points = heads(YAW)
    plain = domains.fit(points)
    points[35, 2] = float("nan")
    torch.testing.assert_close(domains.fit(points), plain, atol=0.1, rtol=0)
    assert domains.of(points, plain)[35] == 0


def test_the_step_sends_each_row_through_its_domain_s_norms_and_back_again() -> None:
    recipe = tiny_recipe("brute_force")
    network = build(recipe.network, 4).train()
    batch = made_batch([False] * 4)
    centres = domains.normalised(batch.points[:3])
    seen: list[Tensor] = []
    first = next(module for module in network.modules() if isinstance(module, BruteForce))
    first.register_forward_pre_hook(lambda module, _: seen.append(module.domain))
    loss = brute_force.routed_step(centres)(network, batch)["loss"]
    assert torch.isfinite(loss)
    assert torch.equal(seen[0], domains.of(batch.points, centres))
    assert first.domain == 0


def test_one_domain_trains_as_supervised_training_does() -> None:
    network = build(tiny_recipe("brute_force").network, 4).train()
    batch = made_batch([False] * 4)
    centres = domains.normalised(batch.points)[:1]
    one = brute_force.routed_step(centres)(network, batch)["loss"]
    route(network, 0)
    torch.testing.assert_close(one, supervised.step(network, batch)["loss"])


def test_without_separate_norms_it_says_what_to_set(toy: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe("brute_force")
    plain = recipe.model_copy(update={"network": recipe.network.model_copy(update={"sepbn": None})})
    ready = job.prepare(tiny_request(toy, tmp_path, "brute_force", recipe=plain))
    with pytest.raises(InputError, match=r"network\.sepbn = \{ attention = 'brute_force' \}"):
        METHODS["brute_force"].train(recipe.method_config(), ready.trainer, ready.labelled, None)


def test_the_paper_s_figure_is_the_best_of_all_passes_for_each_picture() -> None:
    errors = torch.tensor([[1.0, 5.0, 3.0], [2.0, 4.0, 0.5]])
    assert brute_force.best_of(errors).tolist() == [1.0, 4.0, 0.5]
