"""A file of stamped pictures (benchmarks/stamped_faces.py) that a test can slow down, break, or hold up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from benchmarks.stamped_faces import stamped
from lmdeploy.errors import InputError
from lmdeploy.video.frame import Frame


@dataclass
class Recorded:
    """`pause_s` before each picture, `fails` after so many, `before` is called with the number of each."""

    place: int
    count: int
    pause_s: float = 0.0
    fails: int = 10**9
    before: Callable[[int], object] = lambda number: None
    stream: bool = True
    rate: float = 30.0
    problems: list[str] = field(default_factory=list)
    closed: int = 0

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.count):
            time.sleep(self.pause_s)
            self.before(index)
            if index == self.fails:
                raise InputError(f"file {self.place} is broken")
            image = np.ascontiguousarray(stamped(self.place, index)[..., ::-1])
            yield Frame(image, index, 1000 * index / 30, f"{index}.jpg")

    def close(self) -> None:
        self.closed += 1
