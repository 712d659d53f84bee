"""Progress of long work on stderr, with the time left."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


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
