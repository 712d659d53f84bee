"""K-center, random order, discard and the choice made of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdeploy.errors import InputError
from lmdeploy.types import F32
from tests.oracles import acquisition
from training.selection import STRATEGIES, Rule, choose
from training.selection.discard import discard
from training.selection.k_center import k_center

NOTHING = np.zeros((0, 1), np.float32)


def column(*values: float) -> F32:
    return np.array(values, np.float32)[:, None]


def test_k_center_picks_the_farthest_point_of_a_line_and_never_one_twice() -> None:
    """Centre 0; 10 is farthest; then 4 (4 from 0, 6 from 10), then 7 (3), then 1 and 2."""
    order, value = k_center(column(1, 2, 4, 7, 10), column(0), 5)
    assert order == (4, 2, 3, 1, 0)
    assert value[list(order)].tolist() == [10, 4, 3, 2, 1]


def test_k_center_tells_how_far_the_others_stay() -> None:
    order, value = k_center(column(1, 2, 4, 7, 10), column(0), 2)
    assert order == (4, 2)
    assert value.tolist() == [1, 2, 4, 3, 10]


@pytest.mark.parametrize("seed", range(5))
def test_k_center_is_the_slow_loop(seed: int) -> None:
    draw = np.random.default_rng(seed)
    points, centres = draw.normal(size=(30, 4)).astype(np.float32), draw.normal(size=(3, 4)).astype(np.float32)
    assert list(k_center(points, centres, 12).order) == acquisition.k_center(points, centres, 12)


def test_without_a_centre_the_most_central_begins() -> None:
    assert k_center(column(0, 1, 2, 3, 10), NOTHING, 2).order == (3, 4)  # the mean is 3.2


def test_k_center_takes_equal_images_last_but_takes_them() -> None:
    assert sorted(k_center(column(5, 5, 5), NOTHING, 3).order) == [0, 1, 2]


@given(count=st.integers(0, 300), share=st.sampled_from([0.0, 0.1, 0.29, 0.5, 0.7, 0.9]))
def test_discard_drops_exactly_the_floor_of_the_share_and_keeps_the_order(count: int, share: float) -> None:
    order = tuple(range(count, 0, -1))
    dropped, rest = discard(order, share)
    assert len(dropped) == round(share * 100) * count // 100  # in whole per cent there is no rounding
    assert dropped + rest == order


@pytest.mark.parametrize("strategy", ["nnm", "entropy"])
def test_the_least_confident_come_first_and_the_discard_leaves_out_the_first_of_them(strategy: str) -> None:
    values = column(*np.random.default_rng(0).permutation(20))
    by_value = np.argsort(-values[:, 0]).tolist()
    plain = choose(Rule(strategy, 0.0, 1), values, NOTHING, 5)
    assert list(plain.chosen) == by_value[:5]
    assert plain.dropped == ()
    without = choose(Rule(strategy, 0.1, 1), values, NOTHING, 5)
    assert list(without.dropped) == by_value[:2]
    assert list(without.chosen) == by_value[2:7]
    assert without.value.tolist() == values[:, 0].tolist()


def test_equal_values_keep_their_order() -> None:
    assert choose(Rule("nnm", 0.0, 1), column(1, 2, 2, 1), NOTHING, 4).chosen == (1, 2, 0, 3)


def test_random_depends_on_the_seed_alone() -> None:
    a, b, c = (choose(Rule("random", 0.0, seed), np.zeros((50, 1), np.float32), NOTHING, 50) for seed in (1, 1, 2))
    assert a.chosen == b.chosen != c.chosen
    assert sorted(a.chosen) == list(range(50))
    assert list(a.chosen) == np.argsort(-a.value).tolist()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_more_than_there_are_gives_all_that_there_are(strategy: str) -> None:
    assert sorted(choose(Rule(strategy, 0.0, 1), column(3, 1, 2), NOTHING, 9).chosen) == [0, 1, 2]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Rule("nmn", 0.0, 1), "no strategy 'nmn': choose one of"),
        (Rule("random", 0.1, 1), "random does not rank by hardness"),
        (Rule("k_center", 0.1, 1), "k_center does not rank by hardness"),
    ],
)
def test_mistakes_are_named(rule: Rule, words: str) -> None:
    with pytest.raises(InputError, match=words):
        choose(rule, column(1, 2), NOTHING, 1)
