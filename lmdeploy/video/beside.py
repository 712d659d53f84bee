"""One thread beside an event loop: blocking calls of one owner, made in order, awaited from coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Beside:
    """The thread, started with the first call.

    A thread of one's own, not the event loop's shared ones: a few cameras that wait for pictures would take all of
    those (there are four more than cores), and nobody else's call would be made any more.
    """

    def __init__(self, name: str) -> None:
        """Nothing is started yet."""
        self._name = name
        self._thread: ThreadPoolExecutor | None = None

    async def __call__(self, function: Callable[[], T]) -> T:
        """What `function` gives. A cancelled caller does not wait; the call itself goes on, others after it."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, self._name)
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def end(self) -> None:
        """Let the thread end after the calls at hand; a later call starts another one."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=False)
