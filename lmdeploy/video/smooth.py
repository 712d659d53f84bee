"""One-Euro filter (Casiez, Roussel, Vogel: 1 Euro Filter, CHI 2012) for landmarks.

    alpha(fc, dt) = 1 / (1 + tau / dt)      tau = 1 / (2 pi fc)                      the paper's eq. 5
    v_i   = (x_i - xhat_{i-1}) / (dt s)     f[K,2], face sizes per second
    vhat  = lowpass(v, alpha(d_cutoff, dt))
    fc    = min_cutoff + beta |vhat|        f[K], Hz                                 the paper's eq. 7
    xhat  = lowpass(x, alpha(fc, dt))       lowpass(x, a): xhat_i = a x_i + (1 - a) xhat_{i-1}

A still point is smoothed hard, a moving one follows at once. s is the size of the face in px, so that the parameters
mean the same at every resolution and distance from the camera.
Differs from the paper: the speed is the length of a point's velocity and not one coordinate's, so that the filter does
not depend on the direction of the axes; it is divided by s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import pi

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from lmdeploy.geometry import landmark_box
from lmdeploy.types import F32, F64, Array, Landmarks
from lmdeploy.video.motion import size_of
from lmdeploy.video.timeline import step_s

FALLBACK_RATE = 30.0  # Hz, for sources without times


class OneEuroConfig(BaseModel):
    """How hard landmarks are smoothed.

    min_cutoff: Hz, the cut-off for a point at rest. Higher: more jitter at rest, less lag in slow motion.
    beta: Hz per (face size / s), how fast the cut-off grows with speed. Higher: less lag in motion, more jitter in it.
    d_cutoff: Hz, the cut-off of the speed estimate. Higher: sudden motion is followed sooner, but noise is taken for
        motion more often, which costs steadiness at rest.
    To tune: set beta to 0 and lower min_cutoff until a face at rest is steady enough, then raise beta until motion
    lags little enough (the paper's section 4). In steady motion at v face sizes a second the lag is at most
    1 / (2 pi (min_cutoff + beta v)) s. Nothing here depends on the resolution or the frame rate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_cutoff: float = Field(default=1.0, gt=0)
    beta: float = Field(default=25.0, ge=0)
    d_cutoff: float = Field(default=2.5, gt=0)


class OneEuro:
    """The filter of one face; the first call, or one that goes back in time, starts anew."""

    def __init__(self, config: OneEuroConfig) -> None:
        """Start without a past."""
        self._config = config
        self._time = 0.0
        self._value: F64 | None = None  # xhat, image px
        self._speed: F64 = np.zeros((0, 2))  # vhat

    def __call__(self, points: Array, time_s: float, size: float) -> F32:
        """Smoothed points.

        Args:
            points: f[K,2], image px.
            time_s: when they were seen, s. A time that stands still counts as a millisecond later.
            size: of the face, px.
        Returns: f32[K,2], image px.
        """
        x = np.asarray(points, np.float64)
        if self._value is None or self._value.shape != x.shape or time_s < self._time:
            self._value, self._speed = x, np.zeros_like(x)
        else:
            c, dt = self._config, step_s(self._time, time_s)
            v = (x - self._value) / (dt * size)
            a_d = alpha(c.d_cutoff, dt)
            self._speed = a_d * v + (1 - a_d) * self._speed
            fc = c.min_cutoff + c.beta * np.hypot(self._speed[:, 0], self._speed[:, 1])
            a = alpha(fc, dt)[:, None]
            self._value = a * x + (1 - a) * self._value
        self._time = time_s
        return self._value.astype(np.float32)


class Smoother:
    """One filter per face of a stream; a face that was lost starts anew when it comes back."""

    def __init__(self, config: OneEuroConfig | None = None) -> None:
        """Start without faces."""
        self._config = config or OneEuroConfig()
        self._filters: dict[int, OneEuro] = {}

    def update(self, faces: Sequence[Landmarks]) -> list[Landmarks]:
        """The faces of one frame with smoothed `points`; `points_raw` stays as it was."""
        self._filters = {face.track: self._filters.get(face.track) or OneEuro(self._config) for face in faces}
        return [replace(face, points=self._smoothed(face)) for face in faces]

    def _smoothed(self, face: Landmarks) -> F32:
        time_s = face.frame / FALLBACK_RATE if face.time_ms is None else face.time_ms / 1e3
        return self._filters[face.track](face.points_raw, time_s, face_size(face.points_raw))


def alpha(cutoff: Array | float, dt: float) -> F64:
    """Weight of the new value in a first-order low-pass of `cutoff` Hz after `dt` s."""
    tau = 1.0 / (2 * pi * np.asarray(cutoff, np.float64))
    return np.asarray(1.0 / (1.0 + tau / dt), np.float64)


def face_size(points: Array) -> float:
    """Root of the area of the points' tight box, px; never 0."""
    return size_of(landmark_box(points))
