"""The brute-force layer of SepBN: whole batch norms, one for each domain."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.unit.training.test_sepbn import data, norm_of
from training.models.sepbn import BruteForce, Options, make, route


@pytest.mark.parametrize("training", [True, False])
def test_brute_force_routes_rows_to_their_domain_s_own_batch_norm(training: bool) -> None:
    made, x = make(norm_of(), Options(attention="brute_force")), data()
    assert isinstance(made, BruteForce)
    made.train(training)
    plain = norm_of().train(training)
    torch.testing.assert_close(made(x), plain(x))
    route(nn.Sequential(made), torch.tensor([2, 0, 2, 2]))
    twins = [norm_of().train(training) for _ in range(2)]
    wanted = torch.empty_like(x)
    for twin, rows in zip(twins, ([1], [0, 2, 3]), strict=True):
        wanted[rows] = twin(x[rows])
    made = make(norm_of(), Options(attention="brute_force")).train(training)
    route(made, torch.tensor([2, 0, 2, 2]))
    torch.testing.assert_close(made(x), wanted)
    assert isinstance(made, BruteForce)
    assert [int(norm.num_batches_tracked) for norm in made.norms] == ([1, 0, 1] if training else [0, 0, 0])  # type: ignore[arg-type]


def test_a_lone_value_of_a_domain_goes_by_the_running_statistics() -> None:
    made, x = make(norm_of(), Options(attention="brute_force")).train(), data(3, side=1)
    route(made, torch.tensor([1, 0, 1]))
    torch.testing.assert_close(made(x)[1:2], norm_of().eval()(x[1:2]))
    assert isinstance(made, BruteForce)
    assert all(norm.training for norm in made.norms)


def test_brute_force_with_a_single_domain_is_batch_norm() -> None:
    made, plain, x = make(norm_of(), Options(attention="brute_force")), norm_of(), data()
    for domain in (torch.zeros(4, dtype=torch.int64), 0):
        route(made, domain)
        torch.testing.assert_close(made(x), plain(x))
