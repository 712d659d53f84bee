"""Failure rate, cumulative distribution and area under it, against slow oracles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmdeploy.metrics import auc, ced, failure_rate
from tests.oracles import metrics as oracle

seeds = st.integers(0, 10_000)
many = settings(max_examples=40, deadline=None)


def shares(seed, count=30):
    return np.random.default_rng(seed).gamma(2, 0.03, count)


@many
@given(seeds, st.sampled_from([0.05, 0.08, 0.1]))
def test_auc_is_the_area_under_the_curve(seed, t):
    errors = shares(seed)
    slow = oracle.area(errors.tolist(), t, 2000)
    assert auc(errors, t) == pytest.approx(slow, abs=1 / 2000)
    assert auc(errors, t, "simpson") == pytest.approx(slow, abs=2e-3)


@many
@given(seeds, st.floats(0.01, 0.2))
def test_ced_and_failure_rate_complement_each_other(seed, t):
    errors = shares(seed)
    assert float(ced(errors, np.array([t]))[0]) == pytest.approx(oracle.cumulative(errors.tolist(), t))
    assert failure_rate(errors, t) == pytest.approx(1 - float(ced(errors, np.array([t]))[0]))


def test_failure_is_strictly_above_the_threshold():
    assert failure_rate(np.array([0.1, 0.05, 0.100001, 0.2]), 0.1) == 0.5


@given(st.floats(0, 0.1))
def test_auc_of_a_single_error(error):
    assert auc(np.array([error]), 0.1) == pytest.approx((0.1 - error) / 0.1)
    assert auc(np.array([error]), 0.1, "simpson") == pytest.approx((0.1 - error) / 0.1, abs=2e-3)


@pytest.mark.parametrize("rule", ["exact", "simpson"])
def test_auc_of_no_errors_is_1_and_of_large_ones_0(rule):
    assert auc(np.zeros(5), 0.1, rule) == pytest.approx(1)
    assert auc(np.full(5, 0.11), 0.1, rule) == 0
