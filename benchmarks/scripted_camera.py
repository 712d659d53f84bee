"""A camera that does what a script says, in place of cv2.VideoCapture: pictures, pauses, failures, in any order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from time import monotonic, sleep
from typing import Any

from lmdeploy.types import U8
from lmdeploy.video.connect import Connection, OpenCVConnection

Event = Any
"""A BGR picture is given out, None is a failed read, a float waits so many seconds, an exception is raised."""


class ScriptedCapture:
    """Plays events one after the other; when there are none left every read fails."""

    def __init__(self, events: Iterable[Event]) -> None:
        """Start at the first event."""
        self.released = False
        self._events = iter(events)

    def read(self) -> tuple[bool, Any]:
        """What cv2.VideoCapture.read answers."""
        for event in self._events:
            if isinstance(event, float):
                sleep(event)
            elif isinstance(event, Exception):
                raise event
            else:
                return event is not None, event
        return False, None

    def release(self) -> None:
        """Note that the device was freed."""
        self.released = True


class Lives:
    """Opens one scripted connection after the other; an exception in place of events means that opening fails.

    `opened` holds the last captures. When there are no scripts left, opening fails with the last exception given
    as `afterwards`.
    """

    def __init__(self, scripts: Iterable[Iterable[Event] | Exception], afterwards: Exception | None = None) -> None:
        """Nothing is opened yet."""
        self.opened: deque[ScriptedCapture] = deque(maxlen=16)  # all of a soak's would count as its memory
        self.tries = 0
        self._scripts = iter(scripts)
        self._afterwards = afterwards or OSError("no further script")

    def __call__(self) -> Connection:
        """The next connection."""
        self.tries += 1
        script = next(self._scripts, self._afterwards)
        if isinstance(script, Exception):
            raise script
        self.opened.append(ScriptedCapture(script))
        return OpenCVConnection(self.opened[-1])


def paced(picture: Callable[[int], U8], rate: float, seconds: float) -> Iterator[Event]:
    """Pictures at a fixed rate by the clock, as a camera gives them: one that nobody read in time is lost."""
    start = monotonic()
    number = 0
    while (due := number / rate) < seconds:
        wait = start + due - monotonic()
        if wait > 0:
            yield wait
        yield picture(number)
        number = max(number + 1, int((monotonic() - start) * rate) + 1)
