"""Pictures of a live source over connections that may break: reconnect with growing, random pauses.

    pause_n = min(first_s * factor^n, longest_s) * (1 + jitter * u)     u uniform in [-1, 1], n failures in a row

n goes back to 0 when a connection held longer than the pause before it, so that one that breaks at once again and
again is not hammered.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from time import monotonic

from pydantic import BaseModel, ConfigDict, Field

from lmdeploy.errors import InputError
from lmdeploy.video.connect import Connection, Picture

MOST_FAILURES = 60  # 2^60 pauses are beyond every limit


class Retry(BaseModel):
    """How a lost source is tried again.

    first_s, factor, longest_s, jitter: the pauses, see above. give_up_s: after so long without a picture the source
    counts as ended; None tries for ever.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    first_s: float = Field(default=0.5, gt=0)
    factor: float = Field(default=2.0, ge=1)
    longest_s: float = Field(default=30.0, gt=0)
    jitter: float = Field(default=0.2, ge=0, lt=1)
    give_up_s: float | None = Field(default=None, ge=0)

    def pause_s(self, failures: int, luck: float) -> float:
        """The pause after so many failures in a row, s; luck: uniform in [-1, 1]."""
        grown = self.first_s * self.factor ** min(failures, MOST_FAILURES)
        return min(grown, self.longest_s) * (1 + self.jitter * luck)


class Link:
    """One source through its outages; an outage is told once when it begins and once when it is over.

    Args:
        name: of the source, for people.
        connect: opens it anew; InputError while it is not there.
        retry: pauses, and when to give up.
        warn: takes a sentence.
    `outages` counts; `given_up` holds a sentence once the source was given up. `closing` ends everything.
    """

    def __init__(
        self, name: str, connect: Callable[[], Connection], retry: Retry, warn: Callable[[str], None]
    ) -> None:
        """Nothing is opened yet."""
        self.closing = threading.Event()
        self.outages = 0
        self.given_up = ""
        self._name, self._connect, self._retry, self._warn = name, connect, retry, warn
        self._failures = 0
        self._down: float | None = None  # since when there has been no picture

    def pictures(self, connection: Connection | None) -> Iterator[tuple[int, Picture]]:
        """Every picture with the number of connections lost before it, until the source ends or is given up.

        connection: the first one; closed here, like all others.
        """
        part = 0
        while connection is not None:
            opened = monotonic()
            try:
                while not self.closing.is_set() and (picture := connection.read()) is not None:
                    self._up()
                    yield part, picture
            finally:
                connection.close()
            if self.closing.is_set() or connection.finished:
                return
            part += 1
            connection = self._again(connection.reason, monotonic() - opened)

    def arrival(self) -> Connection | None:
        """The first connection to a source that is not there yet, or None when it is given up."""
        self._down = monotonic()
        return self._next()

    def _up(self) -> None:
        if self._down is not None:
            again = " again" if self.outages else ""
            self._warn(f"{self._name}: pictures{again}, after {monotonic() - self._down:.1f} s")
            self._down = None

    def _again(self, reason: str, held_s: float) -> Connection | None:
        """The next connection, or None when it is given up."""
        if held_s > self._retry.pause_s(self._failures, 1.0):
            self._failures = 0
        if self._down is None:
            self._down = monotonic()
            self.outages += 1
            self._warn(f"{self._name}: {reason}; it is tried again until it is back")
        return self._next()

    def _next(self) -> Connection | None:
        while self._pause():
            try:
                return self._connect()
            except (InputError, OSError):
                continue
        return None

    def _pause(self) -> bool:
        """Wait before the next try; False when there shall be none."""
        pause = self._retry.pause_s(self._failures, random.uniform(-1, 1))
        self._failures += 1
        limit = self._retry.give_up_s
        if limit is not None and self._down is not None:
            left = self._down + limit - monotonic()
            if left <= 0:
                self.given_up = f"{self._name}: no pictures for {limit:g} s, given up; is it still connected?"
                return False
            pause = min(pause, left)
        return not self.closing.wait(pause)
