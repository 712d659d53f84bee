"""One picture of a source, and what a source is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from lmdeploy.types import U8


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a source.

    image: u8[H,W,3] RGB. index: position in the source, 0 first; a camera's index has gaps where frames were skipped.
    time_ms: position in the stream, None for still images. name: unique within a source, fit for a file name.
    at: when a live source's picture came, s of time.monotonic(); None where nothing is live. A result's age is its own
    time minus this. part: how often the source was interrupted before; faces of two parts need not be the same.
    source: the name of its source where there are several, else empty.
    """

    image: U8
    index: int
    time_ms: float | None
    name: str
    at: float | None = None
    part: int = 0
    source: str = ""

    def __repr__(self) -> str:
        """One line, without the pixels."""
        height, width = self.image.shape[:2]
        time = "" if self.time_ms is None else f", {self.time_ms:.1f} ms"
        return f"Frame({self.name!r}, {width} x {height} px, index {self.index}{time})"


@runtime_checkable
class Source(Protocol):
    """An iterable of frames; iterate once."""

    stream: bool
    """True where frames follow each other in time, so that tracking and smoothing make sense."""
    problems: list[str]
    """One line for each file or part that could not be read, complete after the iteration."""
    rate: float
    """Nominal frames per second; 0 where there is none."""

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order."""
        ...

    def close(self) -> None:
        """Stop reading; a second call does nothing."""
        ...


@runtime_checkable
class Stoppable(Protocol):
    """A source whose iteration may wait for long, like a camera that is gone."""

    def stop(self) -> None:
        """End the iteration soon; may be called from a signal handler."""
        ...
