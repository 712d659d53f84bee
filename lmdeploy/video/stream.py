"""`Landmarker.stream`: sources in, an iterator of frames with their faces out."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import TracebackType

from lmdeploy.landmarker import Landmarker
from lmdeploy.types import Landmarks
from lmdeploy.video.beside import Beside
from lmdeploy.video.follow import Following
from lmdeploy.video.frame import Frame, Source
from lmdeploy.video.latency import Latencies, StageLatency
from lmdeploy.video.several import Several
from lmdeploy.video.source import open_source
from lmdeploy.video.watch import Watch

Given = str | Path | int | Source


@dataclass(frozen=True, slots=True)
class Seen:
    """One frame and what was found in it.

    source: place of its source among those given. age_ms: from the picture's arrival until the faces were known;
    None where the source is not live.
    """

    frame: Frame
    faces: list[Landmarks]
    source: int = 0
    age_ms: float | None = None


def open_sources(
    given: Given | Sequence[Given] | Mapping[str, Given],
    give_up_s: float | None,
    warn: Callable[[str], None] | None,
) -> list[Source]:
    """Open all that is not open yet, or none: InputError for the first that cannot be."""
    opened: list[Source] = []
    try:
        given = list(given.values()) if isinstance(given, Mapping) else given
        for source in [given] if isinstance(given, (str, Path, int, Source)) else given:
            if isinstance(source, (str, Path, int)):
                opened.append(open_source(str(source), give_up_s=give_up_s, warn=warn))
            else:
                opened.append(source)
    except BaseException:  # Ctrl-C, too, must not leave threads behind
        for source in opened:
            source.close()
        raise
    return opened


class Stream:
    """The results of one or several sources, in the order of each source; iterate once, from one thread.

    Every source has its own tracks and its own smoothing. Frames that are there at the same time share one batch.

    One that is dropped without being closed frees its devices and ends its threads soon after.

    In a coroutine `async with` and `async for` do the same: frames are waited for and looked at in a thread of the
    stream's own, so that the event loop is free. A wait that is cancelled closes the stream.

    Args:
        landmarker: stays open.
        sources: opened; `close` closes them.
        following: makes the tracking of one source.
        names: of the sources, for Frame.source; none without.
    """

    def __init__(
        self,
        landmarker: Landmarker,
        sources: Sequence[Source],
        following: Callable[[Source], Following],
        names: Sequence[str] = (),
    ) -> None:
        """Start reading."""
        self._landmarker, self._latencies = landmarker, Latencies()
        self._watch = Watch([following(source) for source in sources])
        self._sources = Several(sources, names)
        self._ready: deque[Seen] = deque()
        self._beside = Beside("stream")
        weakref.finalize(self, self._sources.end)  # a loop that is left early drops its stream, and may not close it

    @property
    def problems(self) -> list[str]:
        """One line for each source, or part of one, that could not be read."""
        return self._sources.problems

    @property
    def stages(self) -> dict[str, StageLatency]:
        """Latency by stage, and `age` of live frames."""
        return self._latencies.summary()

    def __iter__(self) -> Iterator[Seen]:
        """The stream itself."""
        return self

    def __next__(self) -> Seen:
        """The next result; waits for a frame, and ends with the last source.

        Errors: BundleError for a network that gives no points; what cannot be read goes to `problems`.
        """
        if not self._ready:
            self._ready.extend(self._look(self._sources.step()))
        if not self._ready:
            self.close()
            raise StopIteration
        return self._ready.popleft()

    def stop(self) -> None:
        """End the iteration soon; may be called from a signal handler or another thread."""
        self._sources.stop()

    def close(self) -> None:
        """Stop all threads and close the sources; a second call does nothing."""
        self._sources.close()

    def __enter__(self) -> Stream:
        """The stream itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def __aiter__(self) -> AsyncIterator[Seen]:
        """The stream itself."""
        return self

    async def __anext__(self) -> Seen:
        """As `__next__`, without holding up the event loop; cancelled, it closes the stream."""
        try:
            seen = await self._beside(lambda: next(self, None))
        except asyncio.CancelledError:
            await self.aclose()
            raise
        if seen is None:
            self._beside.end()
            raise StopAsyncIteration
        return seen

    async def aclose(self) -> None:
        """As `close`, without holding up the event loop; the frame at hand is finished first."""
        self.stop()
        try:
            await asyncio.shield(self._beside(self.close))
        finally:
            self._beside.end()

    async def __aenter__(self) -> Stream:
        """The stream itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Close."""
        await self.aclose()

    def _look(self, step: list[tuple[int, Frame]]) -> list[Seen]:
        if not step:
            return []
        found = self._watch(step, self._landmarker, self._latencies)
        now = monotonic()
        seen = []
        for (place, frame), faces in zip(step, found, strict=True):
            age_ms = None if frame.at is None else 1e3 * (now - frame.at)
            if age_ms is not None:
                self._latencies.add("age", age_ms)
            seen.append(Seen(frame, faces, place, age_ms))
        return seen
