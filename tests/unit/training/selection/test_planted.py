"""The planted-outlier test (methods spec 14): 5 % of the pool are pure noise; the discard must leave them out."""

from __future__ import annotations

import pytest

from benchmarks import planted
from tests.unit.training.conftest import tiny_recipe
from training.models import Network


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """A tiny network, long enough on 12 drawn faces to know one: 5 s."""
    made = tiny_recipe("supervised", epochs=180)
    changes = {
        "schedule": made.schedule.model_copy(update={"lr": 1e-2, "batch": 12}),
        "network": made.network.model_copy(update={"channels": 16}),
    }
    return planted.trained(tmp_path_factory.mktemp("planted"), made.model_copy(update=changes), 12)


@pytest.mark.parametrize("seed", [0, 1])
def test_plain_strategies_choose_the_noise_first_and_the_discard_none_of_it(network: Network, seed: int) -> None:
    some = planted.pool(100, tiny_recipe("supervised").crop, seed)
    found = planted.found(network, some, 10)
    assert len(some.noise) == 5
    for strategy in ("nnm", "entropy"):
        assert found[strategy].chosen >= 4  # of 5; 5 were measured on three pools
        assert found[f"{strategy}_discard"].chosen <= 1
        assert found[f"{strategy}_discard"].dropped >= 4
