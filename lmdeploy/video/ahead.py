"""A video file, or any other source of which every frame is wanted, read ahead by a thread of its own.

Decoding and colour conversion leave Python's lock, so they run beside the network: one frame waits while the next one
is decoded, no more, whatever the length of the file.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from lmdeploy.errors import LmdeployError
from lmdeploy.video.frame import Frame, Source
from lmdeploy.video.slot import Slot

LOOK_S = 0.2  # how soon a waiting consumer sees a Ctrl-C on every system


class Ahead:
    """A source that is read one frame ahead: iterate it, or `start` it and take what `slot` holds.

    It closes what it reads when that is over.
    """

    def __init__(self, source: Source) -> None:
        """Nothing is read before `start`."""
        self.stream, self.rate, self.problems = source.stream, source.rate, source.problems
        self.slot = Slot(every=True)
        self._source = source
        self._thread = threading.Thread(target=self._read, name="ahead", daemon=True)
        self._started = self._stopped = False

    def start(self) -> None:
        """Start reading; a second call does nothing."""
        if not self._started:
            self._started = True
            self._thread.start()

    def __iter__(self) -> Iterator[Frame]:
        """Every frame in order; an error of the source comes after the frames before it."""
        self.start()
        try:
            while not (self._stopped or self.slot.over):
                pending = self.slot.poll()
                if pending is None:
                    self.slot.wait(LOOK_S)
                else:
                    yield pending()
        finally:
            self.end()

    def stop(self) -> None:
        """End the iteration soon; a plain flag, so that a signal handler may set it."""
        self._stopped = True

    def end(self) -> None:
        """Stop reading soon, without waiting for it."""
        self.slot.end()

    def close(self) -> None:
        """Stop the thread, then close the source; a second call does nothing."""
        self.end()
        if self._started:
            self._thread.join()
        self._source.close()

    def _read(self) -> None:
        try:
            for frame in self._source:
                if not self.slot.put(lambda now=frame: now):  # type: ignore[misc]  # the default binds this frame
                    break
        except (LmdeployError, OSError) as error:
            self.problems.append(str(error))
        except Exception as error:  # noqa: BLE001  # a mistake in the program reaches the consumer
            self.slot.end(error)
        finally:
            self.slot.end()
            self._source.close()  # here, too, for nobody may be left who would
