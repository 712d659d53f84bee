"""A writer in a thread of its own: encoding video takes as long as all the rest, and leaves Python's lock."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence

from lmdeploy.types import U8, Landmarks
from lmdeploy.video.frame import Frame
from lmdeploy.writers.base import Sink

WAITING = 2  # frames: enough for an uneven pace, and bounded memory
Job = tuple[Frame, Sequence[Landmarks], U8 | None]


class Behind:
    """Writes what it is given a little later, in order; who is too fast waits.

    An error of the inner sink is raised by the next `write`, or by `close`; what was given after it is not written.
    The picture must not be changed any more once it was given.
    """

    def __init__(self, inner: Sink) -> None:
        """Wrap a sink; its `write` is called from the thread, its `close` from whoever closes this one."""
        self.drawn = inner.drawn
        self._inner = inner
        self._jobs: queue.Queue[Job | None] = queue.Queue(WAITING)
        self._error: Exception | None = None
        self._failed = False
        self._thread: threading.Thread | None = None

    def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None) -> None:
        """Hand one frame over; picture: u8[H,W,3] RGB as the inner sink takes it."""
        self._raise()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="behind", daemon=True)
            self._thread.start()
        self._jobs.put((frame, faces, picture))

    def close(self) -> None:
        """Write what waits and finish the file; a second call does nothing."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            thread.join()
        self._inner.close()
        self._raise()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not self._failed:
                try:
                    self._inner.write(*job)
                except Exception as error:  # noqa: BLE001  # whoever gives the next frame gets it
                    self._error, self._failed = error, True

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
