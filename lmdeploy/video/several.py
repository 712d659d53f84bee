"""Several sources read side by side: each step takes at most one frame of each, so that none holds up the others.

A live source gives its newest picture, a file its next one. A source without a picture is not waited for as long as
another has one.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from lmdeploy.video.ahead import LOOK_S, Ahead
from lmdeploy.video.camera import Camera
from lmdeploy.video.frame import Frame, Source


class Several:
    """Many sources as one sequence of steps; used from one thread.

    Args:
        sources: opened ones, closed by `close`.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        """Start reading all of them."""
        self._feeds = [source if isinstance(source, Camera | Ahead) else Ahead(source) for source in sources]
        self._news = threading.Event()
        self._stopped = False
        for feed in self._feeds:
            feed.slot.on_change = self._news.set
            if isinstance(feed, Ahead):
                feed.start()

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
