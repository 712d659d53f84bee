"""Several sources read side by side: each step takes at most one frame of each, so that none holds up the others.

A live source gives its newest picture, a file its next one. A source without a picture is not waited for as long as
another has one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from lmdeploy.video.ahead import LOOK_S, Ahead
from lmdeploy.video.camera import Camera
from lmdeploy.video.frame import Frame, Source, Stoppable

Step = list[tuple[int, Frame]]
"""At most one frame of each source, with the source's place."""


class Feed(Protocol):
    """What a run reads: one source, or several of them."""

    @property
    def problems(self) -> list[str]:
        """One line for each thing that could not be read, complete after the iteration."""
        ...

    def __iter__(self) -> Iterator[Step]:
        """Steps until the end of all sources; none is empty."""
        ...

    def stop(self) -> None:
        """End the iteration soon; may be called from a signal handler."""
        ...

    def close(self) -> None:
        """Free the sources; a second call does nothing."""
        ...


class Alone:
    """One source, read by whoever asks for its frames."""

    def __init__(self, source: Source) -> None:
        """Take over an opened source."""
        self._source = source

    @property
    def problems(self) -> list[str]:
        """The source's."""
        return self._source.problems

    def __iter__(self) -> Iterator[Step]:
        """A frame a step."""
        return ([(0, frame)] for frame in self._source)

    def stop(self) -> None:
        """Do not go on waiting, where the source may wait for long."""
        if isinstance(self._source, Stoppable):
            self._source.stop()

    def close(self) -> None:
        """Close the source."""
        self._source.close()


class Several:
    """Many sources as one sequence of steps; used from one thread.

    Args:
        sources: opened ones, closed by `close`.
        names: of the sources, for Frame.source where a frame has none yet; none of them without.
    """

    def __init__(self, sources: Sequence[Source], names: Sequence[str] = ()) -> None:
        """Start reading all of them."""
        self._names = names
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

    def __iter__(self) -> Iterator[Step]:
        """Steps until the end of all."""
        while step := self.step():
            yield step

    def step(self) -> Step:
        """Wait for news, then one frame of each source that has one; [] at the end of all."""
        while not self._stopped:
            self._news.clear()
            waiting = [(place, feed.slot.poll()) for place, feed in enumerate(self._feeds)]
            frames = [(place, self._named(place, pending())) for place, pending in waiting if pending is not None]
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

    def _named(self, place: int, frame: Frame) -> Frame:
        return replace(frame, source=self._names[place]) if self._names and not frame.source else frame
