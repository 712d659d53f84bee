"""A hundred thousand frames of sources that fail in every way, and what is left behind.

    python -m benchmarks.soak [--quick] [--frames N] [--seed N]

Three scripted cameras and two recorded sources go through `Landmarker.stream` with the blob network. The cameras are
lost, away, give truncated and empty pictures, black ones, and change their size, all at random. Every picture says
itself where its face is (benchmarks.stamped_faces).
Figures: frames; wrong, results that are not those of their own picture or source, or a track id that outlived an
interruption or a change of size; faces_share, of the pictures with a face those in which it was found; outages;
growth_percent, of resident memory from a tenth of the way to the end; threads_left and files_left against the start.
"""

from __future__ import annotations

import argparse
import gc
import random
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np

from benchmarks.record import print_figures, write_result
from benchmarks.scripted_camera import Event, Lives
from benchmarks.stamped_faces import SIZES, StampDetector, black, stamp_of, stamped, truth
from lmdeploy.errors import InputError
from lmdeploy.landmarker import Landmarker
from lmdeploy.model import open_model
from lmdeploy.resident import now_mb
from lmdeploy.types import U8
from lmdeploy.video.camera import Camera
from lmdeploy.video.frame import Frame, Source
from lmdeploy.video.retry import Retry
from lmdeploy.video.stream import Seen
from tests.tiny_bundle import make_tiny_bundle

CAMERAS, FILES = 3, 2
PAUSE_S = 0.001  # between a camera's pictures: it is not to spin
SOON = Retry(first_s=0.0005, longest_s=0.002)
WITHIN_PX = 1.0
WARM_UP = 300  # frames: what is loaded or allocated once is not left behind


def main() -> None:
    """Run, print the figures, and in full mode write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5,000 frames; writes no record")
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    frames = 5_000 if given.quick else given.frames
    with tempfile.TemporaryDirectory() as scratch:
        model = open_model(make_tiny_bundle(Path(scratch) / "tiny").path, threads=1)
        with Landmarker(model, StampDetector) as landmarker:
            soak(landmarker, WARM_UP, given.seed + 100)
            tally = soak(landmarker, frames, given.seed)
    if not given.quick:
        write_result("soak", tally.figures(), {"memory_mb": tally.memory_mb}, [given.seed])
    print_figures(tally.figures())


@dataclass
class Tally:
    """What was seen."""

    frames: int = 0
    there: int = 0
    found: int = 0
    wrong: int = 0
    outages: int = 0
    memory_mb: list[float] = field(default_factory=list)
    left: dict[str, float] = field(default_factory=dict)
    last: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def add(self, seen: Seen) -> None:
        """Judge one result by its own picture."""
        self.frames += 1
        image = seen.frame.image
        source, number, there = stamp_of(image)
        self.there += there
        self.found += there and bool(seen.faces)
        right = truth(source, number, *image.shape[:2])
        for face in seen.faces:
            scene = (face.track, seen.frame.part, *image.shape)
            last = self.last.get(source, scene)
            same = (last[0] == face.track) <= (last == scene) and face.track >= last[0]
            near = np.abs(face.points_raw - right).max() < WITHIN_PX
            self.wrong += not (there and same and near and seen.source == source)
            self.last[source] = scene

    def figures(self) -> dict[str, float]:
        """Bare numbers."""
        growth = 100 * (self.memory_mb[-1] / self.memory_mb[0] - 1)
        share = self.found / max(self.there, 1)
        counts = {"frames": float(self.frames), "wrong": float(self.wrong), "faces_share": share}
        return {**counts, "outages": float(self.outages), "growth_percent": growth, **self.left}


def soak(landmarker: Landmarker, frames: int, seed: int) -> Tally:
    """Run so many frames through the stream; memory is noted at each tenth."""
    tally, start = Tally(), (threading.active_count(), open_files())
    cameras = [Camera(place, Lives(lives(place, random.Random(seed + place))), retry=SOON) for place in range(CAMERAS)]
    files: list[Source] = [Loop(place) for place in range(CAMERAS, CAMERAS + FILES)]
    with landmarker.stream([*cameras, *files]) as stream:
        for seen in stream:
            tally.add(seen)
            if tally.frames % max(frames // 10, 1) == 0:
                gc.collect()
                tally.memory_mb.append(now_mb())
            if tally.frames == frames:
                break
    tally.outages = sum(camera.outages for camera in cameras)
    left = threading.active_count() - start[0], open_files() - start[1]
    tally.left = {"threads_left": float(left[0]), "files_left": float(left[1])}
    return tally


def lives(place: int, chance: random.Random) -> Iterator[list[Event] | Exception | Iterator[Event]]:
    """One connection after the other, for ever; some cannot be opened."""
    numbers = count()
    yield events(place, numbers, chance)  # the first one must open
    while True:
        yield InputError("away") if chance.random() < 0.3 else events(place, numbers, chance)


def events(place: int, numbers: count[int], chance: random.Random) -> Iterator[Event]:
    """Pictures with faults until the connection breaks, after 60 to 600 of them."""
    size = chance.choice(SIZES)
    for _ in range(chance.randint(60, 600)):
        number = next(numbers)
        yield PAUSE_S
        fault = chance.random()
        if fault < 0.005:
            size = chance.choice(SIZES)
        if 0.01 < fault < 0.02:
            yield chance.choice([np.zeros((0, 0, 3), np.uint8), stamped(place, number)[0, 0], b"half a pack"])
        yield black(place, number, size) if fault > 0.97 else stamped(place, number, size)
    if chance.random() < 0.3:
        yield OSError("unplugged")


class Loop:
    """A recorded source without end, every frame of which is taken."""

    stream, rate = True, 30.0

    def __init__(self, place: int) -> None:
        """Nothing is read yet."""
        self.problems: list[str] = []
        self._place = place

    def __iter__(self) -> Iterator[Frame]:
        """Stamped pictures."""
        for index in count():
            image: U8 = np.ascontiguousarray(stamped(self._place, index)[..., ::-1])
            yield Frame(image, index, 1e3 * index / self.rate, f"{index}.jpg")

    def close(self) -> None:
        """Nothing is open."""


def open_files() -> int:
    """Open file handles of this process; 0 where the system does not say."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


if __name__ == "__main__":
    main()
