"""The bootstrap against a slow one, against theory, and against the mistake that clusters guard from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmdeploy.bootstrap import bootstrap_interval, bootstrap_means, clusters_of
from lmdeploy.errors import InputError


def slow_means(values, clusters, draws, seed):
    """Draw whole clusters one by one and average over the images drawn."""
    rng = np.random.default_rng(seed)
    members = {key: [v for v, k in zip(values, clusters, strict=True) if k == key] for key in set(clusters)}
    keys = sorted(members, key=str)
    means = []
    for _ in range(draws):
        drawn = [v for n in rng.integers(len(keys), size=len(keys)) for v in members[keys[n]]]
        means.append(sum(drawn) / len(drawn))
    return np.array(means)


def test_it_has_the_distribution_of_the_slow_one():
    rng = np.random.default_rng(5)
    clusters = [f"p{n}" for n in rng.integers(0, 12, 90)]
    values = rng.gamma(2, 2, 90) + np.array([int(c[1:]) for c in clusters])
    fast, slow = bootstrap_means(values, clusters, 4000, 1), slow_means(values, clusters, 4000, 2)
    spread = slow.std()
    np.testing.assert_allclose(
        np.percentile(fast, [2.5, 25, 50, 75, 97.5]), np.percentile(slow, [2.5, 25, 50, 75, 97.5]), atol=0.12 * spread
    )


def test_without_clusters_it_is_the_standard_error():
    values = np.random.default_rng(0).normal(5, 2, 400)
    means = bootstrap_means(values, range(400), 4000)
    assert means.std() == pytest.approx(values.std() / 20, rel=0.06)
    assert means.mean() == pytest.approx(values.mean(), abs=0.01)


def test_near_duplicates_of_few_people_widen_the_interval():
    people = np.repeat(np.random.default_rng(0).normal(5, 2, 10), 40)
    low, high = bootstrap_interval(people, [f"p{n // 40}" for n in range(400)])
    naive_low, naive_high = bootstrap_interval(people, range(400))
    assert high - low > 4 * (naive_high - naive_low)


def test_copies_of_every_frame_change_nothing():
    values = np.arange(7.0)
    once = bootstrap_means(values, range(7), 300)
    thrice = bootstrap_means(np.repeat(values, 3), np.repeat(range(7), 3).tolist(), 300)
    np.testing.assert_allclose(once, thrice)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 10), st.sampled_from("abcdef")), min_size=1, max_size=40), st.integers(0, 99))
def test_seeded_and_inside_the_range_of_the_values(pairs, seed):
    values, clusters = np.array([v for v, _ in pairs]), [c for _, c in pairs]
    means = bootstrap_means(values, clusters, 130, seed)
    assert means.shape == (130,)
    np.testing.assert_array_equal(means, bootstrap_means(values, clusters, 130, seed))
    assert values.min() - 1e-9 <= means.min() <= means.max() <= values.max() + 1e-9


def test_a_wider_level_is_a_wider_interval():
    values = np.random.default_rng(0).normal(0, 1, 60)
    low, high = bootstrap_interval(values, range(60), level=0.99)
    inner_low, inner_high = bootstrap_interval(values, range(60), level=0.5)
    assert low < inner_low < inner_high < high


def test_an_unknown_identity_is_a_person_of_its_own():
    assert len(set(clusters_of(["", "a", "", "a", "b"]))) == 4
    assert len(set(clusters_of(["0", "", "1"]))) == 3


@pytest.mark.parametrize(("values", "clusters"), [([], []), ([1.0], ["a", "b"])])
def test_each_value_needs_a_cluster(values, clusters):
    with pytest.raises(InputError, match="one cluster per value"):
        bootstrap_means(np.array(values), clusters)
