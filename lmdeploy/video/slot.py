"""One picture between the thread that reads a source and the one that uses it.

Of a live source a new picture replaces the waiting one: the consumer gets the newest, however slow it is. Of a file
the reader waits until the picture was taken: the consumer gets every one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from lmdeploy.video.frame import Frame

Pending = Callable[[], Frame]
"""Makes the frame when it is wanted: the pixels of a picture that is dropped are never converted."""


class Slot:
    """Room for one picture.

    Args:
        every: the reader waits for the consumer, instead of replacing what was not taken.
    `on_change` is called, from the reader's thread, whenever there is something new to look at. `dropped` counts the
    pictures that were replaced.
    """

    def __init__(self, *, every: bool) -> None:
        """Start empty."""
        self.on_change: Callable[[], None] = _nothing
        self.dropped = 0
        self._every = every
        self._item: Pending | None = None
        self._ended = False
        self._error: Exception | None = None
        self._changed = threading.Condition()

    def put(self, item: Pending) -> bool:
        """Add a picture; False when nobody wants any more."""
        with self._changed:
            while self._every and self._item is not None and not self._ended:
                self._changed.wait()
            if self._ended:
                return False
            self.dropped += self._item is not None
            self._item = item
            self._changed.notify_all()
        self.on_change()
        return True

    def end(self, error: Exception | None = None) -> None:
        """No picture will follow: the consumer gets the waiting one, then `error`. A second call does nothing."""
        with self._changed:
            if not self._ended:
                self._ended, self._error = True, error
            self._changed.notify_all()
        self.on_change()

    def poll(self) -> Pending | None:
        """The waiting picture, or None. Raises the error that ended the source, once."""
        with self._changed:
            item, self._item = self._item, None
            self._changed.notify_all()
            if item is None and self._error is not None:
                error, self._error = self._error, None
                raise error
            return item

    def wait(self, seconds: float) -> None:
        """Until there is a picture or the end, at most so long: then Ctrl-C is seen on every system."""
        with self._changed:
            if self._item is None and not self._ended:
                self._changed.wait(seconds)

    @property
    def over(self) -> bool:
        """Nothing waits and nothing will come."""
        with self._changed:
            return self._ended and self._item is None and self._error is None


def _nothing() -> None:
    pass
