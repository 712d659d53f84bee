"""Where a face is, and where it is going: a box with a velocity that is learned while nobody is in its way.

    v     <- v + a ((c_i - c_{i-1}) / dt - v)     a = max(1 - exp(-dt / LEARN_S), 1 / n)    px/s, n-th step
    v     <- v exp(-dt / FORGET_S)                where another face is near
    c     <- c(t) + g (c_i - c(t))                g = 1 - exp(-dt trust / (PULL_S (1 - trust))); size likewise
    c(t)   = c + v min(t - t_c, COAST_S)                                                   px

c is the centre of the last box that was surely this face's, seen at t_c. A face that is hidden is expected at c(t).
"""

from __future__ import annotations

from math import exp, hypot, log, sqrt

from lmdeploy.types import Box
from lmdeploy.video.timeline import step_s

LEARN_S = 0.15  # s over which a velocity is learned
FORGET_S = 1.0  # s in which a velocity that cannot be learned fades: heads that lean together go nowhere
PULL_S = 0.3  # s in which a half trusted box pulls the expected one to its place
COAST_S = 1.0  # s for which a face that is not seen is expected to go on as before; nobody goes straight for long


class Motion:
    """One face's motion.

    Args:
        box: landmark box, image px.
        time_s: when it was seen, s.
    """

    def __init__(self, box: Box, time_s: float) -> None:
        """Seen once, at rest as far as is known."""
        self.box, self.time_s = box, time_s
        self._velocity, self._steps, self._learned_s = (0.0, 0.0), 0, 0.0

    def add(self, box: Box, time_s: float, *, learn: bool, trust: float = 1.0) -> None:
        """Seen again; `learn` is False where the box may not be a true one, because another face is near.

        Who is known for too short a time has no velocity yet that could be kept. With less `trust` the box only pulls
        at the expected one.
        """
        dt = step_s(self.time_s, time_s)
        if learn or self._learned_s < LEARN_S:
            self._learned_s += dt
            self._steps += 1
            a = max(1 - exp(-dt / LEARN_S), 1 / self._steps)
            (x, y), (px, py), (vx, vy) = box.center, self.box.center, self._velocity
            self._velocity = (vx + a * ((x - px) / dt - vx), vy + a * ((y - py) / dt - vy))
        else:
            stays = exp(-dt / FORGET_S)
            box = self._pulled(box, dt, trust)
            self._velocity = (stays * self._velocity[0], stays * self._velocity[1])
        self.box, self.time_s = box, time_s

    def _pulled(self, box: Box, dt: float, trust: float) -> Box:
        """Between where it is expected and where it is seen."""
        gain = 1.0 if trust >= 1 else 1 - exp(-dt * trust / (PULL_S * (1 - trust)))
        was, went = self.box, [v * min(dt, COAST_S) for v in self._velocity]
        now = (was.x0 + went[0], was.y0 + went[1], was.x1 + went[0], was.y1 + went[1])
        seen = (box.x0, box.y0, box.x1, box.y1)
        x0, y0, x1, y1 = (a + gain * (b - a) for a, b in zip(now, seen, strict=True))
        return Box(x0, y0, x1, y1, box.score)

    def at(self, time_s: float, image_hw: tuple[int, int]) -> Box:
        """The box expected at that time; its centre stays in the image, where the face would come back."""
        dt = min(max(time_s - self.time_s, 0.0), COAST_S)
        x, y = (c + v * dt for c, v in zip(self.box.center, self._velocity, strict=True))
        x, y = min(max(x, 0.0), image_hw[1] - 1.0), min(max(y, 0.0), image_hw[0] - 1.0)
        w, h = self.box.width, self.box.height
        return Box(x - w / 2, y - h / 2, x + w / 2, y + h / 2, self.box.score)


def size_of(box: Box) -> float:
    """Root of a box's area, px; never 0."""
    return max(sqrt(box.width * box.height), 1e-3)


def distance(expected: Box, seen: Box) -> float:
    """How far a face is from where it is expected, in face sizes; another size counts like another place."""
    (x, y), (ex, ey), size = seen.center, expected.center, size_of(expected)
    return hypot(x - ex, y - ey) / size + abs(log(size_of(seen) / size))
