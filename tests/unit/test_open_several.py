"""Opening several sources: those that are waited for together, those that fail, and that none is left open."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmdeploy.errors import DataError, InputError
from lmdeploy.video import open_several
from lmdeploy.video.frame import Frame
from lmdeploy.video.named import named
from lmdeploy.video.open_several import open_each


class Held:
    """A source that knows whether it is open."""

    stream, rate = True, 0.0

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        return iter(())

    def close(self) -> None:
        self.closed.set()


def ignore(_: str) -> None:
    """Nobody reads the warnings."""


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], Held]], None]:
    def give(open_it: Callable[[str], Held]) -> None:
        monkeypatch.setattr(open_several, "open_source", lambda text, **_: open_it(text))

    return give


def test_cameras_are_waited_for_together(opens: Callable[[Callable[[str], Held]], None]) -> None:
    all_wait = threading.Barrier(3)

    def open_it(_: str) -> Held:
        all_wait.wait(timeout=20)  # raises where the others are not being opened, too
        return Held()

    opens(open_it)
    opened, problems = open_each(named(["0", "rtsp://host/1", "rtsp://host/2"]), None, ignore)
    assert [one.named.name for one in opened] == ["camera0", "rtsp://host/1", "rtsp://host/2"]
    assert problems == []


def test_where_nothing_can_be_opened_every_reason_is_told(opens: Callable[[Callable[[str], Held]], None]) -> None:
    def open_it(text: str) -> Held:
        raise InputError(f"{text} is away")

    opens(open_it)
    with pytest.raises(DataError, match="none of 2 sources") as caught:
        open_each(named(["1", "clip.mp4"]), None, ignore)
    assert caught.value.problems == ("1 is away", "clip.mp4 is away")


def test_a_camera_that_comes_after_ctrl_c_is_closed_again(opens: Callable[[Callable[[str], Held]], None]) -> None:
    late, asked = Held(), threading.Event()

    def open_it(text: str) -> Held:
        if text == "0":
            asked.wait(20)
            return late
        raise KeyboardInterrupt

    opens(open_it)
    with pytest.raises(KeyboardInterrupt):
        open_each(named([str(Path("clip.mp4")), "0"]), None, ignore)
    assert not late.closed.is_set()
    asked.set()
    assert late.closed.wait(20)


def test_a_mistake_in_the_program_is_not_hidden(opens: Callable[[Callable[[str], Held]], None]) -> None:
    def open_it(text: str) -> Held:
        if text == "0":
            raise ZeroDivisionError
        return kept

    kept = Held()
    opens(open_it)
    with pytest.raises(ZeroDivisionError):
        open_each(named(["clip.mp4", "0"]), None, ignore)
    assert kept.closed.is_set()
