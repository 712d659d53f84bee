"""Detectable differences: against simulation and textbook values."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from lmdeploy.site.power import CORRELATION, detectable_difference, images_needed, t_value, z_value


@pytest.mark.parametrize(("freedom", "wanted"), [(5, 2.0150), (10, 1.8125), (29, 1.6991), (1000, 1.6464)])
def test_t_is_the_tables(freedom: int, wanted: float) -> None:
    assert t_value(0.05, freedom) == pytest.approx(wanted, rel=1e-3)


def test_t_approaches_z_from_above() -> None:
    values = [t_value(0.01, v) for v in (5, 10, 100, 10_000)]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(z_value(0.01), rel=1e-3)


def test_detectable_is_the_formula_for_single_images() -> None:
    errors = np.random.default_rng(0).gamma(4, 1, 80)
    deviation = errors.std(ddof=1) * math.sqrt(2 * (1 - CORRELATION))
    wanted = (1.6449 + 0.8416) * deviation / math.sqrt(80)
    found = detectable_difference(errors, [str(n) for n in range(80)], 0.05)
    assert found == pytest.approx(wanted, rel=1e-3)


def test_detectable_gain_is_shown_four_times_in_five_under_its_assumption() -> None:
    rng = np.random.default_rng(1)
    champion = rng.normal(5, 1, 400)
    champion /= champion.std(ddof=1)
    gain = detectable_difference(champion, [str(n) for n in range(400)], 0.05)
    shown = 0
    for _ in range(500):
        base = rng.normal(0, math.sqrt(CORRELATION), 400)
        old, new = (base + rng.normal(0, math.sqrt(1 - CORRELATION), 400) for _ in range(2))
        difference = new - old - gain
        shown += difference.mean() + z_value(0.05) * difference.std(ddof=1) / 20 < 0
    assert shown / 500 == pytest.approx(0.8, abs=0.06)


def test_frames_of_one_person_show_less() -> None:
    rng = np.random.default_rng(2)
    errors = np.repeat(rng.normal(5, 1, 20), 5)
    alone = detectable_difference(errors, [str(n) for n in range(100)], 0.05)
    together = detectable_difference(errors, [str(n // 5) for n in range(100)], 0.05)
    assert together / alone == pytest.approx(math.sqrt(5), rel=0.05)


def test_one_identity_shows_nothing() -> None:
    assert detectable_difference(np.arange(5.0), ["p"] * 5, 0.05) == math.inf


def test_half_the_gain_needs_four_times_the_images() -> None:
    assert images_needed(1.0, 30, 0.5) == 120
    assert images_needed(1.0, 30, 1.0) == 30
    assert NormalDist().cdf(z_value(0.05)) == pytest.approx(0.95)
