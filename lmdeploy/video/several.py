"""Several sources read side by side: each step takes at most one frame of each, so that none holds up the others.

A live source gives its newest picture, a file its next one. A source without a picture is not waited for as long as
another has one.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from lmdeploy.errors import LmdeployError
from lmdeploy.video.camera import LOOK_S, Camera
from lmdeploy.video.frame import Frame, Source
from lmdeploy.video.slot import Slot


class Ahead:
    """A file, or any other source, read one frame ahead in a thread; every frame is taken."""

    def __init__(self, source: Source) -> None:
        """Start reading."""
        self.problems = source.problems
        self.slot = Slot(every=True)
        self._source = source
        self._thread = threading.Thread(target=self._read, name="ahead", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop reading soon, without waiting for it."""
        self.slot.end()

    def close(self) -> None:
        """Stop the thread, then close the source; a second call does nothing."""
        self.end()
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


class Several:
    """Many sources as one sequence of steps; used from one thread.

    Args:
        sources: opened ones, closed by `close`.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        """Start reading all of them."""
        self._feeds = [source if isinstance(source, Camera) else Ahead(source) for source in sources]
        self._news = threading.Event()
        self._stopped = False
        for feed in self._feeds:
            feed.slot.on_change = self._news.set

    @property
    def problems(self) -> list[str]:
        """Of all sources, in their order."""
        return [problem for feed in self._feeds for problem in feed.problems]

    def step(self) -> list[tuple[int, Frame]]:
        """Wait for news, then one frame of each source that has one, with the source's place; [] at the end of all."""
        while not self._stopped:
            self._news.clear()
            waiting = [(place, feed.slot.poll()) for place, feed in enumerate(self._feeds)]
            frames = [(place, pending()) for place, pending in waiting if pending is not None]
            if frames or all(feed.slot.over for feed in self._feeds):
                return frames
            self._news.wait(LOOK_S)
        return []

    def stop(self) -> None:
        """End the wait soon; may be called from a signal handler."""
        self._stopped = True

    def end(self) -> None:
        """Let all threads end and free their sources soon, without waiting for them."""
        self._stopped = True
        for feed in self._feeds:
            feed.end()

    def close(self) -> None:
        """Stop all threads and close all sources; a second call does nothing."""
        self.end()
        for feed in self._feeds:
            feed.close()
