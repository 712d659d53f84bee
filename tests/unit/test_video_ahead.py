"""A source read ahead: the same frames, one waiting at most, errors after what came before, no thread left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from lmdeploy.errors import InputError
from lmdeploy.types import U8
from lmdeploy.video.ahead import Ahead
from lmdeploy.video.file import PyAVVideo, open_video
from lmdeploy.video.frame import Frame, Stoppable
from tests.blob_video import write_blob_video

PIXEL: U8 = np.zeros((1, 1, 3), np.uint8)


class Counting:
    """Frames 0, 1, 2 ...; notes how far it was read."""

    stream, rate = True, 25.0

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.count, self.error, self.read, self.closed = count, error, 0, 0
        self.problems: list[str] = []

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.count):
            self.read += 1
            yield Frame(PIXEL, index, 40.0 * index, str(index))
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.closed += 1


def left() -> bool:
    return any(thread.name == "ahead" for thread in threading.enumerate())


def test_a_video_file_gives_the_same_frames_as_without_the_thread(tmp_path: Path) -> None:
    video = write_blob_video(tmp_path / "v.mp4", 12)
    source = open_video(video)
    found, plain = list(source), list(PyAVVideo(video, av))
    assert isinstance(source, Ahead)
    assert (source.stream, source.rate, source.problems) == (True, 30.0, [])
    assert [(f.index, f.time_ms, f.name) for f in found] == [(f.index, f.time_ms, f.name) for f in plain]
    assert len(found) == 12
    assert all(np.array_equal(a.image, b.image) for a, b in zip(found, plain, strict=True))
    source.close()
    source.close()
    assert not left()


def test_one_frame_waits_and_one_is_in_the_reader_s_hand() -> None:
    inner = Counting(100)
    source = Ahead(inner)
    assert inner.read == 0  # nothing before somebody asks
    for frame in source:
        threading.Event().wait(0.001)
        assert inner.read <= frame.index + 3
        if frame.index == 20:
            break
    source.close()
    assert inner.read <= 24
    assert inner.closed > 0
    assert not left()


def test_stopped_it_ends_after_the_frame_at_hand() -> None:
    source = Ahead(Counting(100))
    assert isinstance(source, Stoppable)
    seen = []
    for frame in source:
        seen.append(frame.index)
        source.stop()
    assert seen == [0]
    source.close()
    assert not left()


def test_a_broken_source_is_a_problem_after_its_frames() -> None:
    source = Ahead(Counting(3, InputError("the disk is gone")))
    assert [frame.index for frame in source] == [0, 1, 2]
    source.close()
    assert source.problems == ["the disk is gone"]


def test_a_mistake_in_the_program_is_raised_after_its_frames() -> None:
    source = Ahead(Counting(3, KeyError("oh")))
    frames = iter(source)
    assert [next(frames).index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError, match="oh"):
        next(frames)
    source.close()
    assert not left()


def test_closed_before_it_was_read_it_closes_the_file() -> None:
    inner = Counting(3)
    Ahead(inner).close()
    assert (inner.read, inner.closed) == (0, 1)
