"""A writer in its own thread: all of it in order, errors to whoever gives the next frame, bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lmdeploy.types import U8, Landmarks
from lmdeploy.video.frame import Frame
from lmdeploy.writers.base import Sink
from lmdeploy.writers.behind import WAITING, Behind
from lmdeploy.writers.mp4 import Mp4Sink

PICTURE = np.zeros((4, 4, 3), np.uint8)


def frame(index: int) -> Frame:
    return Frame(PICTURE, index, None, str(index))


def give(sink: Behind, count: int) -> None:
    for index in range(count):
        sink.write(frame(index), [], PICTURE)


class Slow:
    """A sink that writes when it is let, and fails at one index."""

    drawn = True

    def __init__(self, fails_at: int = -1, free: bool = True) -> None:
        self.seen: list[int] = []
        self.threads: set[str] = set()
        self.closed = 0
        self.fails_at = fails_at
        self.let = threading.Semaphore(10_000 if free else 0)

    def write(self, at: Frame, faces: Sequence[Landmarks], picture: U8 | None) -> None:
        self.let.acquire()
        if at.index == self.fails_at:
            raise OSError("disk full")
        self.threads.add(threading.current_thread().name)
        self.seen.append(at.index)
        assert picture is PICTURE

    def close(self) -> None:
        self.closed += 1


def test_everything_is_written_in_order_by_another_thread_before_close_returns() -> None:
    inner = Slow()
    sink = Behind(inner)
    assert sink.drawn
    give(sink, 50)
    sink.close()
    sink.close()
    assert inner.seen == list(range(50))
    assert inner.threads == {"behind"}
    assert inner.closed == 2  # closing twice is the inner sink's matter
    assert "behind" not in {thread.name for thread in threading.enumerate()}


def test_who_is_too_fast_waits() -> None:
    inner = Slow(free=False)
    sink = Behind(inner)
    given: list[int] = []

    def give_and_note() -> None:
        for index in range(10):
            sink.write(frame(index), [], PICTURE)
            given.append(index)

    giver = threading.Thread(target=give_and_note)
    giver.start()
    for done in range(10):
        inner.let.release()
        while len(inner.seen) <= done:
            threading.Event().wait(0.001)
        assert len(given) <= done + 1 + WAITING + 1 + 1  # written, waiting, in the writer's and in the giver's hand
    giver.join()
    sink.close()
    assert inner.seen == list(range(10))


def test_an_error_reaches_a_later_write_once_and_nothing_more_is_written() -> None:
    inner = Slow(fails_at=3)
    sink = Behind(inner)
    with pytest.raises(OSError, match="disk full"):
        give(sink, 3 + WAITING + 3)
    sink.close()
    assert inner.seen == [0, 1, 2]
    assert inner.closed == 1


def test_an_error_of_the_last_frame_is_raised_by_close() -> None:
    inner = Slow(fails_at=0)
    sink = Behind(inner)
    sink.write(frame(0), [], PICTURE)
    with pytest.raises(OSError, match="disk full"):
        sink.close()
    assert inner.closed == 1


def test_a_sink_that_was_given_nothing_only_closes() -> None:
    inner = Slow()
    Behind(inner).close()
    assert (inner.seen, inner.closed) == ([], 1)


def test_a_video_has_the_same_bytes_as_without_the_thread(tmp_path: Path) -> None:
    sinks: list[Sink] = [Mp4Sink(tmp_path / "plain.mp4", 30.0), Behind(Mp4Sink(tmp_path / "behind.mp4", 30.0))]
    for index in range(35):
        picture = np.random.default_rng(index).integers(0, 256, (48, 64, 3), np.uint8)
        for sink in sinks:
            sink.write(Frame(picture, index, 1000 * index / 30, ""), [], picture)
    for sink in sinks:
        sink.close()
    assert (tmp_path / "behind.mp4").read_bytes() == (tmp_path / "plain.mp4").read_bytes()
