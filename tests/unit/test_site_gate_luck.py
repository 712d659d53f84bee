"""The gate's rates: promotions by luck stay near alpha, and true gains are mostly shown."""

from __future__ import annotations

import numpy as np
import pytest

from lmdeploy.site.gate import GateRule, decide, worse_groups
from tests.gate_kit import RULE, errors, people


def test_subgroups_are_tested_together() -> None:
    """Among 20 null groups some p values fall under alpha; Holm keeps the family under it."""
    flagged = 0
    for seed in range(60):
        difference = np.random.default_rng(seed).normal(0, 1, 300)
        groups = [f"g{i // 15:02d}" for i in range(300)]
        flagged += bool(worse_groups(difference, people(300), groups, GateRule(resamples=1000), 0.05))
    assert flagged <= 8  # 5 % of 60 is 3; 8 or more has a chance of 1.4 %


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
