"""A build of minutes shows what it is at, and Ctrl-C ends it."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Phases:
    """TensorRT's nested phases as bars on standard error.

    `stopped` is True after Ctrl-C: an exception must not pass through the library, so that it is told to give up.
    """

    def __init__(self, *, show: bool) -> None:
        """Nothing is drawn when `show` is False."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.bars = Progress(*columns, console=Console(stderr=True), transient=True, disable=not show)
        self.stopped = False
        self._tasks: dict[str, TaskID] = {}
        self._depth: dict[str, int] = {}

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase of `steps` steps begins inside `parent`."""
        self._depth[name] = self._depth.get(parent, -1) + 1 if parent else 0
        self._tasks[name] = self.bars.add_task("  " * self._depth[name] + name, total=steps)

    def step(self, name: str, done: int) -> None:
        """Step number `done` (from 0) of a phase is over."""
        if name in self._tasks:
            self.bars.update(self._tasks[name], completed=done + 1)

    def finish(self, name: str) -> None:
        """A phase is over, whether or not all its steps were taken."""
        if name in self._tasks:
            self.bars.remove_task(self._tasks.pop(name))


def make_monitor(trt: Any, phases: Phases) -> Any:
    """The same as an object that TensorRT calls."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # tensorrt has no stubs
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)  # the bindings want it by name, not through super()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            try:
                phases.start(phase_name, parent_phase, num_steps)
            except KeyboardInterrupt:
                phases.stopped = True

        def step_complete(self, phase_name: str, step: int) -> bool:
            try:
                phases.step(phase_name, step)
            except KeyboardInterrupt:
                phases.stopped = True
            return not phases.stopped

        def phase_finish(self, phase_name: str) -> None:
            try:
                phases.finish(phase_name)
            except KeyboardInterrupt:
                phases.stopped = True

    return Monitor()
