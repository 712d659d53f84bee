"""Frames whose landmarks are known, for the blob network of tests/tiny_bundle.py: as a file, a source, and a sink."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lmdeploy.types import F64, U8, Landmarks
from lmdeploy.video.frame import Frame
from lmdeploy.writers.mp4 import Mp4Sink
from tests.tiny_bundle import blob_image

SHAPE = np.array([[-20.0, -20.0], [20.0, -16.0], [-2.0, 25.0]])


def truth(index: int) -> F64:
    """f64[3,2], frame px: the blobs circle about the middle of a 160 x 160 frame."""
    return SHAPE + 80 + 8 * np.array([np.cos(index / 9), np.sin(index / 9)])


def write_blob_video(path: Path, frames: int, rate: float = 30.0) -> Path:
    """An H.264 file of 160 x 160 px."""
    sink = Mp4Sink(path, rate)
    for index in range(frames):
        image = blob_image(160, 160, truth(index), sigma=5.0)
        sink.write(Frame(image, index, 1000.0 * index / rate, ""), [], image)
    sink.close()
    return path


@dataclass
class Made:
    """A source of rendered frames."""

    count: int
    stream: bool = True
    rate: float = 30.0
    problems: list[str] = field(default_factory=list)
    closed: int = 0
    at: dict[int, object] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Frame]:
        pictures = [blob_image(160, 160, truth(i), sigma=5.0) for i in range(min(self.count, 40))]
        for index in range(self.count):
            if callable(action := self.at.get(index)):
                action()
            time_ms = 1000 * index / 30 if self.stream else None
            yield Frame(pictures[index % 40], index, time_ms, f"{index}.jpg")

    def close(self) -> None:
        self.closed += 1


@dataclass
class Kept:
    """A sink that keeps everything."""

    drawn: bool = False
    faces: list[list[Landmarks]] = field(default_factory=list)
    pictures: list[U8 | None] = field(default_factory=list)
    closed: int = 0

    def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None) -> None:
        self.faces.append(list(faces))
        self.pictures.append(picture)

    def close(self) -> None:
        self.closed += 1
