"""The gate: against a slow oracle, and on planted candidates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmdeploy.errors import InputError
from lmdeploy.site import gate
from lmdeploy.site.gate import GateRule, bounds, cluster_sums, decide, spent_alpha, studentised
from lmdeploy.types import F64
from tests.gate_kit import RULE, errors, people
from tests.oracles import clustered_bootstrap as oracle


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(3, 12), st.integers(1, 4))
def test_studentised_equals_the_slow_oracle(seed: int, clusters: int, each: int) -> None:
    rng = np.random.default_rng(seed)
    who = [f"p{n:02d}" for n in rng.integers(0, clusters, clusters * each)] + ["p00", "p01", "p02"]
    difference = rng.normal(0.3, 1, len(who))
    sums, sizes = cluster_sums(difference, who)
    draws = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), 40)
    wanted = [
        t if np.count_nonzero(row) > 1 else np.copysign(np.inf, t)
        for row, t in zip(draws, _oracle(difference, who, draws), strict=True)
    ]
    found = studentised(sums, sizes, 40, seed)
    usable = np.isfinite(wanted)
    np.testing.assert_allclose(found[usable], np.array(wanted)[usable], rtol=1e-6, atol=1e-9)
    assert (np.isinf(found) == ~usable).all()


def _oracle(difference: F64, who: list[str], draws: np.ndarray) -> list[float]:
    """Resamples of a single cluster have no error; the oracle gets them as a huge finite t."""
    groups = oracle.clusters(difference.tolist(), who)
    mean, _ = oracle.mean_and_error(groups)
    told = []
    for row in draws:
        if np.count_nonzero(row) > 1:
            told += oracle.studentised(difference.tolist(), who, row[None])
        else:
            (only,) = (group for group, times in zip(groups, row, strict=True) if times)
            told.append(float(np.mean(only)) - mean)
    return told


def test_cluster_error_is_the_textbook_one_when_every_image_is_its_own() -> None:
    difference = np.random.default_rng(0).normal(0, 2, 50)
    _, _, error = bounds(difference, people(50), RULE, 0.05)
    assert error == pytest.approx(difference.std(ddof=1) / np.sqrt(50))


def test_equal_images_of_one_person_count_once() -> None:
    """Ten copies of every image are no more evidence than one of each."""
    rng = np.random.default_rng(3)
    new, old = errors(rng, 30, -0.3)
    once = decide(new, old, people(30), RULE)
    copies = decide(np.repeat(new, 10), np.repeat(old, 10), people(300, 10), RULE)
    assert copies.upper == pytest.approx(once.upper)
    assert copies.decision == once.decision
    alone = decide(np.repeat(new, 10), np.repeat(old, 10), people(300), RULE)
    assert alone.upper is not None
    assert once.upper is not None
    assert alone.upper < once.upper - 0.1


@pytest.mark.parametrize(
    ("shift", "noise", "decision"),
    [(-1.0, 1.0, "better"), (1.0, 1.0, "worse"), (0.15, 1.0, "not_shown_better"), (-0.05, 1.0, "not_shown_better")],
)
def test_planted_candidates(shift: float, noise: float, decision: str) -> None:
    new, old = errors(np.random.default_rng(1), 60, shift, noise)
    result = decide(new, old, people(60), RULE)
    assert result.decision == decision
    assert result.difference == pytest.approx((new - old).mean())
    assert result.lower is not None
    assert result.upper is not None
    assert result.lower < result.difference < result.upper


def test_equal_model_is_not_promoted() -> None:
    old = errors(np.random.default_rng(1), 60)[1]
    result = decide(old, old, people(60), RULE)
    assert result.decision == "not_shown_better"
    assert result.difference == 0.0


def test_same_gain_on_every_image_is_better() -> None:
    old = errors(np.random.default_rng(1), 40)[1]
    assert decide(old - 0.1, old, people(40), RULE).decision == "better"
    assert decide(old - 0.1, old, people(40), RULE.model_copy(update={"margin": 0.2})).decision == "not_shown_better"


def test_candidate_that_gains_on_one_person_only_is_not_promoted() -> None:
    """One identity with many images carries the whole mean: luck of one person, not evidence."""
    rng = np.random.default_rng(5)
    old = 5 + rng.normal(0, 0.2, 60)
    new = old + rng.normal(0, 0.05, 60)
    new[:20] -= 3.0
    who = ["star"] * 20 + people(40)
    assert decide(new, old, who, RULE).decision == "not_shown_better"


def test_constant_output_is_worse() -> None:
    old = errors(np.random.default_rng(1), 60)[1]
    assert decide(np.full(60, 60.0), old, people(60), RULE).decision == "worse"


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_errors_that_are_not_finite_are_never_promoted(broken: float) -> None:
    new, old = errors(np.random.default_rng(1), 40, -2)
    new[3] = broken
    assert decide(new, old, people(40), RULE).decision == "worse"
    assert decide(old - 2, np.where(np.arange(40) == 3, broken, old), people(40), RULE).decision == "not_shown_better"


def test_worse_subgroup_stops_a_better_mean() -> None:
    rng = np.random.default_rng(2)
    new, old = errors(rng, 90, -1.5, 0.5)
    groups = ["light"] * 70 + ["dark"] * 20
    new[70:] = old[70:] + 1.0 + rng.normal(0, 0.3, 20)
    assert decide(new, old, people(90), RULE).decision == "better"
    result = decide(new, old, people(90), RULE, groups=groups)
    assert (result.decision, result.worse_groups) == ("worse", ("dark",))
    assert "dark" in result.reason


@pytest.mark.parametrize("images", [0, 1, 10, 29])
def test_few_images_only_propose(images: int) -> None:
    old = np.full(images, 5.0)
    result = decide(old - 3, old, people(images), RULE)
    assert result.decision == "propose_only"
    assert f"only {images} gate images" in result.reason


def test_thirty_images_may_promote() -> None:
    old = np.full(gate.MIN_IMAGES, 5.0)
    assert decide(old - 3, old, people(gate.MIN_IMAGES), RULE).decision == "better"


def test_one_person_tells_nothing() -> None:
    new, old = errors(np.random.default_rng(1), 40, -2)
    result = decide(new, old, ["p"] * 40, RULE)
    assert (result.decision, result.upper, result.detectable) == ("not_shown_better", None, None)


def test_seed_fixes_the_result() -> None:
    new, old = errors(np.random.default_rng(1), 50, -0.3)
    assert decide(new, old, people(50), RULE) == decide(new, old, people(50), RULE)
    other = decide(new, old, people(50), RULE.model_copy(update={"seed": 1}))
    assert other.lower != decide(new, old, people(50), RULE).lower


def test_order_of_the_images_does_not_matter() -> None:
    new, old = errors(np.random.default_rng(1), 50, -0.3)
    who = people(50, 2)
    order = np.random.default_rng(2).permutation(50)
    shuffled = decide(new[order], old[order], [who[i] for i in order], RULE)
    assert shuffled.upper == pytest.approx(decide(new, old, who, RULE).upper)


def test_alpha_is_spent_over_the_rounds() -> None:
    spend = GateRule(alpha_rule="spend")
    assert sum(spent_alpha(spend, k) for k in range(1, 51)) < 0.05
    assert spent_alpha(spend, 1) > spent_alpha(spend, 2) > spent_alpha(spend, 3)
    assert {spent_alpha(GateRule(), k) for k in (1, 2, 50)} == {0.05}
    new, old = errors(np.random.default_rng(1), 50, -0.4)
    first, tenth = (
        decide(new, old, people(50), RULE.model_copy(update={"alpha_rule": "spend"}), round_=k) for k in (1, 10)
    )
    assert first.upper is not None
    assert tenth.upper is not None
    assert first.upper < tenth.upper
    assert (first.round, tenth.round) == (1, 10)


@pytest.mark.parametrize("lengths", [(3, 4, 3), (3, 3, 2)])
def test_unequal_lengths_are_refused(lengths: tuple[int, int, int]) -> None:
    new, old, who = lengths
    with pytest.raises(InputError, match="one identity for every image"):
        decide(np.zeros(new), np.zeros(old), people(who), RULE)


def test_groups_of_another_length_are_refused() -> None:
    with pytest.raises(InputError):
        decide(np.zeros(3), np.zeros(3), people(3), RULE, groups=["a"])
