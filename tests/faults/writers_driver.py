"""A process that writes one frame after the other to all outputs it is given, and can be killed at any moment.

Arguments: frames, a point to die at ("" for none), outputs. It prints the number of each frame that it has written.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from lmdeploy.types import Box, Landmarks
from lmdeploy.video.frame import Frame
from lmdeploy.writers import spool
from lmdeploy.writers.base import About
from lmdeploy.writers.choose import open_sinks, output_of
from tests.tiny_bundle import BLOBS3

FACES = 100  # a frame, so that parts of Parquet files are full after five frames
SIDE = 32


def faces(index: int) -> list[Landmarks]:
    """Faces whose first x is the frame's index plus the number of the face / 100."""
    shape = np.array([[0, 1], [5, 8], [9, 3]], np.float32)
    score = np.full(3, 0.5, np.float32)
    places = [shape + np.float32(index + number / FACES) for number in range(FACES)]
    return [Landmarks(p, p, score, score, Box(0, 0, 9, 9), index, 1000 * index / 30, 0, "d", "CPU") for p in places]


def die(*_: Any, **__: Any) -> None:
    """As `kill -9` does it."""
    os.kill(os.getpid(), signal.SIGKILL)


# What closing a spooled file does next at each point; everything before it has happened.
POINTS: dict[str, Callable[[], None]] = {
    "": lambda: None,
    "draft complete": lambda: setattr(os, "fsync", die),
    "renamed": lambda: setattr(spool, "sync_folder", die),
    "parts to be removed": lambda: setattr(spool.shutil, "rmtree", die),
}


def main(frames: int, point: str, outputs: list[str]) -> None:
    """Write that many frames and close, or die on the way."""
    sinks = open_sinks([output_of(text) for text in outputs], About(BLOBS3, "d", 30.0))
    picture = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
    for index in range(frames):
        found = faces(index)
        for sink in sinks:
            sink.write(Frame(picture, index, 1000 * index / 30, f"v_{index:06d}.png"), found, picture)
        sys.stdout.write(f"{index}\n")
        sys.stdout.flush()
    POINTS[point]()
    for sink in sinks:
        sink.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
