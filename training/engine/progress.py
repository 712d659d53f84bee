"""Progress of long work on stderr, with the time left."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import NamedTuple, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

TELL_EVERY_S = 60.0  # between lines where stderr is not a terminal
log = logging.getLogger(__name__)
T = TypeVar("T")


class Progress:
    """A bar with count, elapsed and remaining time; silent where stderr is not a terminal."""

    def __init__(self, title: str, total: int) -> None:
        """Start nothing yet; use as a context manager."""
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            disable=not Console(stderr=True).is_terminal,
        )
        self._task = self._bar.add_task(title, total=total, note="")

    def __enter__(self) -> Progress:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bar as it stands."""
        self._bar.stop()

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Count finished steps; `note` stands behind the bar."""
        self._bar.update(self._task, advance=steps, note=note)


def tracked(title: str) -> Callable[[Sequence[T]], Iterator[T]]:
    """A function that hands items on one by one under a bar of that title."""

    def hand_on(items: Sequence[T]) -> Iterator[T]:
        with Progress(title, len(items)) as progress:
            for item in items:
                yield item
                progress.advance()

    return hand_on


class Length(NamedTuple):
    """How long a stage is: its name, its epochs and the image-steps of one of them."""

    name: str
    epochs: int
    images: int


class RunProgress:
    """How far a whole run is: two bars on a terminal, elsewhere a line a minute and one at the end of each stage.

    The time left is the image-steps left over the image-steps a second of this call's training; evaluation and
    pseudo-labelling are not in it.
    """

    def __init__(self, lengths: list[Length] | None = None, console: Console | None = None) -> None:
        """lengths: of all stages in their order; None where they are not known, then no time left is told."""
        self._left = {one.name: one.epochs * one.images for one in lengths or []}
        self._order = list(self._left)
        self._console = console or Console(stderr=True)
        self._done, self._seconds = 0, 0.0
        self._stage, self._epochs, self._epoch, self._note = "", 0, 0, ""
        self._bars: RichProgress | None = None
        self._tick = self._told = time.monotonic()

    def skip(self, name: str) -> None:
        """A stage that the run folder already holds."""
        self._left.pop(name, None)

    def begin(self, name: str, epochs: int, start: int) -> None:
        """Enter a stage, of which `start` epochs were trained before."""
        self._stage, self._epochs, self._epoch, self._note = name, epochs, start, ""
        if name in self._left:
            self._left[name] = self._left[name] * (epochs - start) // epochs
        self._tick = time.monotonic()
        if self._console.is_terminal:
            self._bars = RichProgress(TextColumn("{task.description}"), BarColumn(), console=self._console)
            self._bars.add_task("run", total=None)
            self._bars.add_task(name, total=epochs, completed=start)
            self._bars.start()

    def step(self, images: int) -> None:
        """A batch of so many image-steps is trained."""
        now = time.monotonic()
        self._seconds += now - self._tick
        self._tick = now
        self._done += images
        if self._stage in self._left:
            self._left[self._stage] = max(self._left[self._stage] - images, 0)
        if now - self._told > TELL_EVERY_S and self._bars is None:
            self._tell(now)
        if self._bars is not None and now - self._told > 0.2:
            self._show(now)

    def epoch(self, finished: int, note: str) -> None:
        """So many epochs of the stage are finished; `note` is its last loss."""
        self._epoch, self._note = finished, note

    def end(self) -> None:
        """Leave the stage."""
        if self._bars is not None:
            self._show(time.monotonic())
            self._bars.stop()
            self._bars = None
        else:
            self._tell(time.monotonic())
        self.skip(self._stage)

    def seconds_left(self) -> float | None:
        """Of training, from the speed so far; None before the first step or without lengths."""
        if not self._order or not self._done:
            return None
        return sum(self._left.values()) * self._seconds / self._done

    def line(self) -> str:
        """Stage, epoch, speed and time left, for people."""
        place = f" ({self._order.index(self._stage) + 1} of {len(self._order)})" if self._stage in self._order else ""
        left = self.seconds_left()
        rest = "" if left is None else f", about {spoken(left)} of training left"
        speed = f"{self._done / self._seconds:.3g} images/s" if self._seconds else ""
        parts = [f"epoch {self._epoch} of {self._epochs}", self._note, speed]
        return f"{self._stage}{place}: {', '.join(part for part in parts if part)}{rest}"

    def _tell(self, now: float) -> None:
        self._told = now
        log.info("%s", self.line())

    def _show(self, now: float) -> None:
        assert self._bars is not None
        self._told = now
        left = sum(self._left.values())
        run, stage = self._bars.task_ids
        self._bars.update(run, description=self.line(), total=self._done + left, completed=self._done)
        self._bars.update(stage, completed=self._epoch)


def spoken(seconds: float) -> str:
    """`40 s`, `12 min` or `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
