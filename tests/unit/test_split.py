"""A labelled subset shows as many people as it can, and grows without changing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdeploy.dataset import Sample
from lmdeploy.errors import InputError
from lmdeploy.split import draw

identities = st.lists(st.sampled_from(["", "a", "b", "c", "d"]), min_size=1, max_size=40)


def samples_of(people):
    return [Sample(f"{n}.jpg", Path(f"{n}.jpg"), identity=person) for n, person in enumerate(people)]


@given(identities, st.integers(0, 5), st.data())
def test_smaller_draws_are_the_beginning_of_larger_ones(people, seed, data):
    samples = samples_of(people)
    n = data.draw(st.integers(1, len(samples)))
    names = draw(samples, n, seed)
    assert len(set(names)) == n
    assert draw(samples, len(samples), seed)[:n] == names


@given(identities, st.integers(0, 5), st.data())
def test_no_person_comes_again_before_everyone_came(people, seed, data):
    samples = samples_of(people)
    names = draw(samples, data.draw(st.integers(1, len(samples))), seed)
    person = {sample.name: sample.identity or sample.name for sample in samples}
    has, drawn = Counter(person.values()), Counter(person[name] for name in names)
    for who, count in drawn.items():
        for other in has:
            assert drawn[other] >= min(count - 1, has[other]), (who, other)


@given(identities, st.integers(0, 5))
def test_the_order_of_the_file_does_not_matter(people, seed):
    samples = samples_of(people)
    assert draw(samples, len(samples), seed) == draw(samples[::-1], len(samples), seed)


def test_seeds_differ_and_are_the_same_on_every_machine():
    samples = samples_of(["", "a", "a", "b", "b", "b", "", "c"])
    assert draw(samples, 5, 0) == draw(samples, 5, 0)
    assert len({tuple(draw(samples, 5, seed)) for seed in range(20)}) > 10
    assert draw(samples, 4, 7) == ["1.jpg", "6.jpg", "0.jpg", "7.jpg"]


def test_a_name_that_equals_an_identity_is_another_person():
    samples = [Sample("a", Path("a")), Sample("x", Path("x"), identity="a"), Sample("y", Path("y"), identity="a")]
    for seed in range(10):
        assert "a" in draw(samples, 2, seed)


@pytest.mark.parametrize("n", [0, -1, 4])
def test_more_than_there_is_cannot_be_drawn(n):
    with pytest.raises(InputError, match="cannot be drawn from 3"):
        draw(samples_of(["a", "b", ""]), n, 0)
