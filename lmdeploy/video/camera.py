"""Live sources: the consumer always gets the newest picture, however slow it is, through outages of the source."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

from lmdeploy.errors import InputError
from lmdeploy.video.ahead import LOOK_S
from lmdeploy.video.connect import STALL_S, Connection, Picture, open_connection, shown
from lmdeploy.video.frame import Frame
from lmdeploy.video.retry import Link, Retry
from lmdeploy.video.slot import Slot
from lmdeploy.video.timeline import Timeline


class Camera:
    """A camera by number, or a network stream by address, read in a thread that keeps the newest picture alone.

    Args:
        address: number of the camera, or an address such as rtsp://host/path.
        connect: opens the source instead, for tests and special hardware.
        retry: what happens when it is lost; by default it is tried again for ever.
        warn: takes a sentence when the source is lost and when it is back.
        absent: the source is known not to be there yet: it is tried from now on, as one that was lost.
    Errors: InputError when it cannot be opened at the start, unless absent.
    """

    stream = True

    def __init__(
        self,
        address: int | str,
        connect: Callable[[], Connection] | None = None,
        *,
        retry: Retry | None = None,
        warn: Callable[[str], None] | None = None,
        absent: bool = False,
    ) -> None:
        """Open the source and start reading."""
        self.problems: list[str] = []
        self.rate = 0.0
        self.slot = Slot(every=False)
        self._prefix = f"camera{address}" if isinstance(address, int) else "stream"
        self._connect = connect or partial(open_connection, address)
        self._link = Link(shown(address), self._connect, retry or Retry(), warn or _unheard)
        self._opened, self._stopped = threading.Event(), False
        self._absent = absent
        self._refused: InputError | None = None
        self._thread = threading.Thread(target=self._run, name=self._prefix, daemon=True)
        self._thread.start()
        self._wait_for_start()

    @property
    def outages(self) -> int:
        """How often the source was lost."""
        return self._link.outages

    def __iter__(self) -> Iterator[Frame]:
        """The newest picture each time; times go on through outages, `part` counts them."""
        while not (self._stopped or self.slot.over):
            self.slot.wait(LOOK_S)
            if (pending := self.slot.poll()) is not None:
                yield pending()

    def stop(self) -> None:
        """End the iteration soon; a plain flag, so that a signal handler may set it."""
        self._stopped = True

    def end(self) -> None:
        """Stop reading and free the device soon, without waiting for it."""
        self._link.closing.set()
        self.slot.end()

    def close(self) -> None:
        """Stop the thread and free the device; a second call does nothing."""
        self.end()
        self._thread.join(timeout=STALL_S + 1.0)  # a read that stands still cannot be interrupted before it gives up

    def _wait_for_start(self) -> None:
        try:
            while not self._opened.wait(LOOK_S):
                pass
        except BaseException:  # Ctrl-C, which must not leave the thread behind
            self._link.closing.set()
            raise
        if self._refused is not None:
            self._thread.join()
            raise self._refused

    def _run(self) -> None:
        try:
            self._read(self._first())
        except InputError as error:  # only the first connection's: Link tries the others again
            self._refused = error
        except Exception as error:  # noqa: BLE001  # a mistake in the program reaches the consumer, not the thread's end
            self.slot.end(error)
        finally:
            self.slot.end()
            self._opened.set()

    def _first(self) -> Connection | None:
        if not self._absent:
            return self._connect()
        self._opened.set()
        return self._link.arrival()

    def _read(self, first: Connection | None) -> None:
        self.rate = first.rate if first else 0.0
        self._opened.set()
        timeline, part = Timeline(), 0
        for index, (now, picture) in enumerate(self._link.pictures(first)):
            if now != part:
                timeline.interrupt()
                part = now
            time_ms = timeline(picture.at, picture.time_s)
            if not self.slot.put(partial(self._frame, picture, index, time_ms, part)):
                break
        if self._link.given_up:
            self.problems.append(self._link.given_up)

    def _frame(self, picture: Picture, index: int, time_ms: float, part: int) -> Frame:
        return Frame(picture.rgb(), index, time_ms, f"{self._prefix}_{index:06d}.jpg", picture.at, part)


def _unheard(sentence: str) -> None:
    """Takes what nobody wants to hear."""
