"""Times of a live source that may be interrupted: its own clock while it runs, ours across the gaps.

    t_0 = 0        t_i = t_{i-1} + d
    d = source_i - source_{i-1}     where both are known and 0 < d < 10 s
    d = arrival_i - arrival_{i-1}   else: after an interruption, a jump of the source's clock, or without such a clock

So a stream's own times are kept to the tick, and they never go back when a camera that was restarted counts from zero.
"""

from __future__ import annotations

GAP_S = 10.0  # a step of the source's clock beyond this is a jump
LEAST_S = 1e-3  # between two pictures: clocks stand still and go back, and a speed over nothing is infinite


def step_s(before_s: float, now_s: float) -> float:
    """From one picture to the next, s: what their times say, at least LEAST_S."""
    return max(now_s - before_s, LEAST_S)


class Timeline:
    """Positions in one stream, strictly growing."""

    def __init__(self) -> None:
        """Start before the first picture."""
        self._now: float | None = None
        self._arrival = 0.0
        self._source: float | None = None

    def __call__(self, arrival: float, source: float | None) -> float:
        """Position of the next picture, ms.

        Args:
            arrival: when it came, s of a clock that never jumps.
            source: its time by the source's clock, s, or None.
        """
        step = None if source is None or self._source is None else source - self._source
        if step is None or not 0 < step < GAP_S:
            step = step_s(self._arrival, arrival)
        self._now = 0.0 if self._now is None else self._now + step
        self._arrival, self._source = arrival, source
        return 1e3 * self._now

    def interrupt(self) -> None:
        """The source's clock may start anew."""
        self._source = None
