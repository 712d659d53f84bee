"""Two lanes in turn: order, overlap, and nothing left running."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from lmdeploy.backends.turns import Lane, Named, turn_about


class Noted:
    """A lane that gives back what it was given."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log, self.held = name, log, -1

    def start(self, batch: int) -> None:
        assert self.held == -1, "started before it was finished"
        self.held = batch
        self.log.append(f"{self.name}+{batch}")

    def finish(self) -> Named:
        done, self.held = self.held, -1
        self.log.append(f"{self.name}-{done}")
        return {"points": np.array([done])}


def given(lanes: list[Noted], count: int) -> Iterator[tuple[list[Lane[int]], int]]:
    for batch in range(count):
        yield list(lanes), batch


@pytest.mark.parametrize("lanes", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_results_come_in_order_with_any_number_of_lanes(lanes: int, count: int) -> None:
    found = turn_about(given([Noted(str(i), []) for i in range(lanes)], count))
    assert [int(one["points"][0]) for one in found] == list(range(count))


def test_the_next_batch_is_started_before_the_last_one_is_waited_for() -> None:
    log: list[str] = []
    list(turn_about(given([Noted("a", log), Noted("b", log)], 5)))
    assert log == ["a+0", "b+1", "a-0", "a+2", "b-1", "b+3", "a-2", "a+4", "b-3", "a-4"]


def test_an_error_waits_for_what_is_queued() -> None:
    """Its memory may be freed or written next."""
    log: list[str] = []
    lanes = [Noted("a", log), Noted("b", log)]

    def breaks() -> Iterator[tuple[list[Lane[int]], int]]:
        yield from given(lanes, 2)
        raise RuntimeError("no third")

    with pytest.raises(RuntimeError, match="no third"):
        list(turn_about(breaks()))
    assert log == ["a+0", "b+1", "a-0", "b-1"]
    left = turn_about(given(lanes, 4))
    next(left)
    left.close()
    assert [lane.held for lane in lanes] == [-1, -1]
