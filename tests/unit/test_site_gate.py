"""The gate: against a slow oracle, planted candidates, and its rate of promotions by luck."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmdeploy.errors import InputError
from lmdeploy.site import gate
from lmdeploy.site.gate import GateRule, bounds, cluster_sums, decide, spent_alpha, studentised, worse_groups
from lmdeploy.types import F64
from tests.oracles import clustered_bootstrap as oracle

RULE = GateRule(resamples=2000)


def people(images: int, each: int = 1) -> list[str]:
    return [f"p{i // each:03d}" for i in range(images)]


def errors(rng: np.random.Generator, images: int, shift: float = 0.0, noise: float = 1.0) -> tuple[F64, F64]:
    """(candidate, champion) whose true mean difference is `shift`, per cent."""
    champion = 5 + np.abs(rng.normal(0, 1.5, images))
    return champion + shift + rng.normal(0, noise, images), champion


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


def test_subgroups_are_tested_together() -> None:
    """Among 20 null groups some p values fall under alpha; Holm keeps the family under it."""
    flagged = 0
    for seed in range(60):
        difference = np.random.default_rng(seed).normal(0, 1, 300)
        groups = [f"g{i // 15:02d}" for i in range(300)]
        flagged += bool(worse_groups(difference, people(300), groups, GateRule(resamples=1000), 0.05))
    assert flagged <= 8  # 5 % of 60 is 3; 8 or more has a chance of 1.4 %


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


def test_few_people_cannot_promote_by_a_degenerate_bootstrap() -> None:
    rng = np.random.default_rng(1)
    promoted = 0
    for _ in range(200):
        who = people(40, 20)
        shift = np.repeat(rng.normal(0, 1, 2), 20)
        old = np.full(40, 5.0)
        promoted += decide(old + shift + rng.normal(0, 0.01, 40), old, who, RULE).decision == "better"
    assert promoted <= 18  # 5 % of 200 is 10


@pytest.mark.parametrize("kind", ["normal", "heavy", "skewed", "persons"])
def test_promotions_by_luck_stay_near_alpha(kind: str) -> None:
    rng = np.random.default_rng(11)
    draws = {
        "normal": lambda: rng.normal(0, 1, 40),
        "heavy": lambda: np.exp(np.abs(x := rng.normal(0, 1, 40))) * np.sign(x),
        "skewed": lambda: rng.gamma(4, 1, 40) - 4,
        "persons": lambda: rng.normal(0, 1, 40) + np.repeat(rng.normal(0, 1, 20), 2),
    }[kind]
    who = people(40, 2 if kind == "persons" else 1)
    old = np.full(40, 10.0)
    nulls = 600
    lucky = sum(
        decide(old + draws(), old, who, GateRule(resamples=1000, seed=n)).decision == "better" for n in range(nulls)
    )
    # Binomial(600, 0.05): mean 30, deviation 5.3; measured 23 to 37
    assert lucky / nulls <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / nulls)
    assert lucky > 5


def test_true_gain_of_the_detectable_size_is_mostly_shown() -> None:
    rng = np.random.default_rng(4)
    shown, sizes = 0, []
    for n in range(200):
        new, old = errors(rng, 60, -0.35, 1.0)
        result = decide(new, old, people(60), GateRule(resamples=500, seed=n))
        shown += result.decision == "better"
        sizes.append(result.detectable or 0)
    # The detectable size for this noise is 2.487 * 1 / sqrt(60) = 0.32, so power is a little over 0.8.
    assert np.mean(sizes) == pytest.approx(2.487 / np.sqrt(60), rel=0.05)
    assert 0.75 < shown / 200 < 0.95


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


def test_fifty_null_rounds_with_spent_alpha_rarely_promote() -> None:
    rng = np.random.default_rng(6)
    rule = GateRule(resamples=1000, alpha_rule="spend")
    old = np.full(40, 10.0)
    families = sum(
        any(
            decide(old + rng.normal(0, 1, 40), old, people(40), rule, round_=k).decision == "better"
            for k in range(1, 51)
        )
        for _ in range(20)
    )
    assert families <= 4  # 5 % of 20 is 1; 5 or more has a chance of 0.3 %


@pytest.mark.parametrize("lengths", [(3, 4, 3), (3, 3, 2)])
def test_unequal_lengths_are_refused(lengths: tuple[int, int, int]) -> None:
    new, old, who = lengths
    with pytest.raises(InputError, match="one identity for every image"):
        decide(np.zeros(new), np.zeros(old), people(who), RULE)


def test_groups_of_another_length_are_refused() -> None:
    with pytest.raises(InputError):
        decide(np.zeros(3), np.zeros(3), people(3), RULE, groups=["a"])
