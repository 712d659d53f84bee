"""Batches go to two lanes in turn: one is being filled and copied while the other computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Protocol, TypeVar

from lmdeploy.types import Array

Given = TypeVar("Given", contravariant=True)
Named = dict[str, Array]
"""Arrays by the name of their tensor."""


class Lane(Protocol[Given]):
    """Memory, a stream and a network for batches of one shape."""

    def start(self, batch: Given) -> None:
        """Queue a batch; the one before must have been finished."""
        ...

    def finish(self) -> Named:
        """Wait for it: its outputs."""
        ...


Batch = TypeVar("Batch")


def turn_about(work: Iterable[tuple[Sequence[Lane[Batch]], Batch]]) -> Iterator[Named]:
    """Outputs of all batches in their order; each is started as soon as a lane of those given beside it is free."""
    waiting: deque[Lane[Batch]] = deque()
    try:
        for lanes, batch in work:
            free = (lane for lane in lanes if all(lane is not other for other in waiting))
            oldest = (lane for lane in waiting if any(lane is other for other in lanes))
            lane = next(chain(free, oldest))
            while any(lane is other for other in waiting):
                yield waiting.popleft().finish()
            lane.start(batch)
            waiting.append(lane)
        while waiting:
            yield waiting.popleft().finish()
    finally:
        for lane in waiting:
            lane.finish()  # what was queued still reads and writes the lane's memory
