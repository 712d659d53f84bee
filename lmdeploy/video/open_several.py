"""Several sources of what a user typed, opened as far as they can be, and read side by side.

Cameras, streams and videos run side by side. Still images, single ones, folders, patterns and lists, are read one
after the other beside them: nobody waits for a picture of each, and a thousand of them need no thousand threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, replace

from lmdeploy.errors import DataError, InputError
from lmdeploy.video.frame import Frame, Source
from lmdeploy.video.named import Named
from lmdeploy.video.several import Several
from lmdeploy.video.source import is_live, open_live, open_source


@dataclass(frozen=True, slots=True)
class Opened:
    """An opened source and what it is called."""

    named: Named
    source: Source


class InTurn:
    """Still images of several sources, one source after the other, each frame with its source's name."""

    stream = False
    rate = 0.0

    def __init__(self, opened: Sequence[Opened]) -> None:
        """Take over the sources."""
        self.problems: list[str] = []
        self._opened = opened

    def __iter__(self) -> Iterator[Frame]:
        """All frames of the first source, then of the next."""
        for one in self._opened:
            try:
                yield from (replace(frame, source=one.named.name) for frame in one.source)
            finally:
                self.problems += one.source.problems

    def close(self) -> None:
        """Close all."""
        for one in self._opened:
            one.source.close()


def open_each(
    sources: Sequence[Named], give_up_s: float | None, warn: Callable[[str], None]
) -> tuple[list[Opened], list[str]]:
    """Open all sources that can be opened, and say what is wrong with the others.

    Cameras and streams are opened at the same time: one that is away is waited for some seconds. It is told to `warn`
    and tried again, as one that is lost on the way. Anything else that cannot be opened is told and left out.

    Args:
        sources: in their order.
        give_up_s: as open_source takes it.
        warn: takes a sentence.
    Returns: what was opened, and one line for each that was left out.
    Errors: DataError where none can be opened.
    """
    opened: dict[Named, Source] = {}
    refused: dict[Named, str] = {}
    with ExitStack() as closing:  # Ctrl-C, too, must not leave threads behind
        opening = {one: _begin(one, give_up_s, warn) for one in sources if is_live(one.text)}
        for future in opening.values():
            closing.callback(_close_once_open, future)
        for one in sources:
            try:
                opened[one] = opening[one].result() if one in opening else open_source(one.text, warn=warn)
                closing.callback(opened[one].close)
            except InputError as error:
                refused[one] = str(error)
        if not opened:
            raise DataError(f"none of {len(sources)} sources can be opened", tuple(refused.values()))
        for one in [one for one in refused if is_live(one.text)]:
            warn(f"{refused.pop(one)}; the others go on, and it is tried again until it is there")
            opened[one] = open_live(one.text, give_up_s=give_up_s, warn=warn, absent=True)
            closing.callback(opened[one].close)
        for sentence in refused.values():
            warn(f"{sentence}; the others go on")
        closing.pop_all()
    return [Opened(one, opened[one]) for one in sources if one in opened], list(refused.values())


def _begin(one: Named, give_up_s: float | None, warn: Callable[[str], None]) -> Future[Source]:
    """A camera or stream that is being opened beside others."""
    future: Future[Source] = Future()

    def work() -> None:
        try:
            future.set_result(open_source(one.text, give_up_s=give_up_s, warn=warn))
        except Exception as error:  # noqa: BLE001  # is raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=work, name=f"open {one.name}", daemon=True).start()
    return future


def _close_once_open(future: Future[Source]) -> None:
    """Close a source, now or as soon as it has been opened; nobody waits for one that is away."""

    def close(done: Future[Source]) -> None:
        if done.exception() is None:
            done.result().close()

    future.add_done_callback(close)


def side_by_side(opened: Sequence[Opened]) -> tuple[Several, list[Source]]:
    """All as one sequence of steps, whose frames have their source's name, and the sources by their place in it."""
    streams = [one for one in opened if one.source.stream]
    stills = [one for one in opened if not one.source.stream]
    sources: list[Source] = [one.source for one in streams]
    names = [one.named.name for one in streams]
    if stills:
        sources.append(InTurn(stills))
        names.append("")  # its frames have names already
    return Several(sources, names), sources
