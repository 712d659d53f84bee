"""One-Euro: equal to the paper's loop, steadier at rest, little lag in motion, independent of scale and direction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from lmdeploy.types import F32, Box, Landmarks
from lmdeploy.video.smooth import OneEuro, OneEuroConfig, Smoother, face_size
from tests.oracles.one_euro import one_euro_1d

FACE = np.array([[0.0, 0.0], [100.0, 0.0], [100.0, 100.0], [0.0, 100.0]])  # size 100 px


def filtered(track: np.ndarray, times: np.ndarray, config: OneEuroConfig, size: float) -> F32:
    one = OneEuro(config)
    return np.stack([one(points, float(t), size) for points, t in zip(track, times, strict=True)])


@pytest.mark.parametrize("config", [OneEuroConfig(), OneEuroConfig(min_cutoff=0.3, beta=40.0, d_cutoff=3.0)])
@pytest.mark.parametrize("axis", [0, 1])
def test_motion_along_an_axis_equals_the_papers_loop(config: OneEuroConfig, axis: int) -> None:
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.01, 0.06, 80))  # a variable frame rate
    values = np.cumsum(rng.normal(0, 4, 80)) + 200
    track = np.full((80, 1, 2), 50.0)
    track[:, 0, axis] = values
    wanted = one_euro_1d(values.tolist(), times.tolist(), config.min_cutoff, config.beta / 100, config.d_cutoff)
    got = filtered(track, times, config, size=100.0)
    np.testing.assert_allclose(got[:, 0, axis], wanted, rtol=1e-6)
    np.testing.assert_allclose(got[:, 0, 1 - axis], 50.0, rtol=1e-6)


def test_rotated_and_scaled_motion_gives_rotated_and_scaled_answers() -> None:
    rng = np.random.default_rng(1)
    times = np.arange(60) / 30
    track = np.cumsum(rng.normal(0, 3, (60, 5, 2)), axis=0)
    turn = 3.7 * np.array([[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]])
    config = OneEuroConfig()
    plain = filtered(track, times, config, size=100.0)
    turned = filtered(track @ turn.T, times, config, size=370.0)
    np.testing.assert_allclose(turned, plain @ turn.T, rtol=1e-3, atol=1e-3)


def test_jitter_of_a_still_face_falls_and_its_place_stays() -> None:
    rng = np.random.default_rng(2)
    times = np.arange(300) / 30
    track = FACE + rng.normal(0, 0.4, (300, 4, 2))
    got = filtered(track, times, OneEuroConfig(), size=100.0)
    raw_step, step = (np.abs(np.diff(x[30:], axis=0)).mean() for x in (track, got))
    assert step < raw_step / 2.5  # measured 0.28
    np.testing.assert_allclose(got[30:].mean(axis=0), FACE, atol=0.15)


@pytest.mark.parametrize(("speed", "frames"), [(0.5, 2.0), (2.0, 1.0)])
def test_lag_in_steady_motion_is_small(speed: float, frames: float) -> None:
    times = np.arange(90) / 30
    shift = speed * 100 * times  # px; the face moves `speed` of its sizes a second
    track = FACE[None] + np.stack([shift, np.zeros(90)], axis=1)[:, None]
    got = filtered(track, times, OneEuroConfig(), size=100.0)
    lag = (track[-1] - got[-1])[:, 0] / (speed * 100 / 30)  # in frames
    assert 0 < lag.max() < frames


def test_more_beta_less_lag() -> None:
    times = np.arange(60) / 30
    track = FACE[None] + (30 * times)[:, None, None]
    lags = [np.abs(track[-1] - filtered(track, times, OneEuroConfig(beta=b), 100.0)[-1]).max() for b in (0, 5, 50)]
    assert lags[0] > lags[1] > lags[2]


@pytest.mark.parametrize("step", [0.0, 2e-311, 1e-9, 9e-4])
def test_times_that_stand_still_are_a_millisecond_apart(step: float) -> None:
    """Points then follow the face; they neither freeze nor move at an infinite speed."""
    values = [200.0, 201.0, 204.0, 204.5, 190.0]
    wanted = one_euro_1d(values, [1e-3 * i for i in range(5)], 1.0, 25.0 / 100, 2.5)
    track = np.stack([np.full((1, 2), [value, 50.0]) for value in values])
    got = filtered(track, step * np.arange(5), OneEuroConfig(), size=100.0)
    np.testing.assert_allclose(got[:, 0, 0], wanted, rtol=1e-6)


def test_going_back_starts_anew() -> None:
    one = OneEuro(OneEuroConfig())
    one(FACE, 1.0, 100.0)
    np.testing.assert_array_equal(one(FACE + 70, 0.2, 100.0), (FACE + 70).astype(np.float32))


def face(shift: float, frame: int, track: int = 0) -> Landmarks:
    points = (FACE + shift).astype(np.float32)
    ones = np.ones(4, np.float32)
    return Landmarks(points, points, ones, ones, Box(0, 0, 1, 1), frame, frame * 1000 / 30, track)


def test_smoother_keeps_raw_points_and_tracks_apart() -> None:
    smoother = Smoother()
    smoother.update([face(0, 0, track=3), face(500, 0, track=8)])
    a, b = smoother.update([face(502, 1, track=8), face(2, 1, track=3)])
    assert (a.track, b.track) == (8, 3)
    np.testing.assert_array_equal(a.points_raw, (FACE + 502).astype(np.float32))
    assert (a.points > FACE + 500).all()
    assert (a.points < FACE + 502).all()
    np.testing.assert_allclose(a.points - 500, b.points, atol=1e-4)


def test_smoother_starts_anew_after_a_loss() -> None:
    smoother = Smoother()
    smoother.update([face(0, 0)])
    smoother.update([])
    (back,) = smoother.update([face(40, 2)])
    np.testing.assert_array_equal(back.points, back.points_raw)


def test_smoother_without_times_counts_frames() -> None:
    timed, untimed = Smoother(), Smoother()
    for frame in range(5):
        (a,) = timed.update([face(frame * 3.0, frame)])
        (b,) = untimed.update([replace(face(frame * 3.0, frame), time_ms=None)])
        np.testing.assert_allclose(a.points, b.points, atol=1e-3)


def test_size_of_a_face() -> None:
    assert face_size(FACE * [2.0, 0.5]) == pytest.approx(100.0)
    assert face_size(FACE * 0) > 0


def test_parameters_are_checked() -> None:
    with pytest.raises(ValidationError):
        OneEuroConfig(min_cutoff=0)
