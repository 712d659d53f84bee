"""Calibrated scores where the truth is known, and the curve inside a graph."""

from __future__ import annotations

import numpy as np
import pytest

from export.calibrated_score import GOOD, Calibrated, Curve, fit, write
from export.parity import generated_crops
from lmdeploy.backends.ort import OrtBackend
from lmdeploy.errors import InputError
from lmdeploy.types import Array


def drawn(count: int, seed: int) -> tuple[Array, Array, Array]:
    """Scores, errors and the true probability that an error is good: the cube of the score."""
    draw = np.random.default_rng(seed)
    score = draw.uniform(size=count)
    good = draw.uniform(size=count) < score**3
    return score, np.where(good, GOOD / 2, GOOD * 2), score**3


def gap(probability: Array, good: Array) -> float:
    """Expected calibration error: by bins of equal count, mean |said - happened|."""
    bins = np.array_split(np.argsort(probability, kind="stable"), 20)
    return float(np.mean([abs(probability[b].mean() - good[b].mean()) for b in bins]))


def test_on_other_data_it_is_as_often_right_as_it_says() -> None:
    score, error, _ = drawn(6000, seed=0)
    curve = fit(score, error)
    score, error, truth = drawn(20000, seed=1)
    assert gap(curve(score), error < GOOD) < 0.02
    assert gap(score, error < GOOD) > 0.2
    assert np.abs(curve(score) - truth).max() < 0.1


def test_it_never_falls_and_keeps_the_order() -> None:
    draw = np.random.default_rng(2)
    score, error, _ = drawn(500, seed=3)
    curve = fit(score + draw.normal(size=500) * 0.3, error)  # noise makes bins fall
    assert np.all(np.diff(curve.y) >= 0)
    assert np.all(np.diff(curve.x) > 0)
    assert 0 < curve.y[0] <= curve.y[-1] < 1


def test_a_score_that_is_always_one_becomes_the_rate() -> None:
    error = np.where(np.arange(1000) < 700, GOOD / 2, 1.0)
    curve = fit(np.ones(1000), error)
    assert curve(np.array([0.0, 0.5, 1.0])) == pytest.approx(701 / 1002)


def test_points_without_label_do_not_count() -> None:
    score, error, _ = drawn(1000, seed=4)
    missing = np.concatenate([error, np.full(500, np.nan)])
    both = fit(np.concatenate([score, np.ones(500)]), missing)
    np.testing.assert_array_equal(both.y, fit(score, error).y)


def test_too_few_labels_are_refused() -> None:
    with pytest.raises(InputError, match="199 labelled points"):
        fit(np.ones(199), np.zeros(199))


@pytest.mark.parametrize("knots", [1, 2, 9])
def test_the_graph_gives_the_curve(tiny_transformer: bytes, knots: int) -> None:
    """Scores below, on, between and above the knots."""
    crops = generated_crops(64, 8)
    raw = OrtBackend(tiny_transformer, 1, "cpu").run(crops)
    x = np.quantile(raw.score, np.linspace(0.1, 0.9, knots))
    curve = Curve(x, np.linspace(0.2, 0.8, knots) ** 2)
    written = OrtBackend(write(tiny_transformer, curve), 1, "cpu").run(crops)
    np.testing.assert_allclose(written.score, np.interp(raw.score, curve.x, curve.y), atol=1e-5)
    np.testing.assert_allclose(written.points, raw.points, atol=1e-4)  # px; measured 6e-6
    compared = Calibrated(OrtBackend(tiny_transformer, 1, "cpu"), curve).run(crops)
    np.testing.assert_allclose(written.score, compared.score, atol=1e-5)
