"""How old a live picture is when its landmarks are known, and what several sources gain from shared batches.

    python -m benchmarks.streams [--quick] [--model BUNDLE] [--rate 30]

A scripted camera gives the demo's portrait in 720p, moving, by the clock; `Landmarker.stream` follows the face with
the Haar detector. The age runs from the picture's arrival until its faces are known, in intervals of the source.
Figures: age_p99_intervals and age_median_intervals, the network faster than the source; frame_ms, what one frame
takes from crop to landmarks; age_slow_p99_intervals and age_slow_growth, with a network made slower than the source
(a pause of 2.5 intervals), the growth being the median age of the last quarter over that of the first;
shared_speedup, four recorded sources at once over one after the other, median of interleaved pairs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from time import perf_counter, sleep
from typing import Any

import numpy as np

from benchmarks.record import print_figures, write_result
from benchmarks.scripted_camera import Lives, paced
from lmdeploy.backends.base import Backend
from lmdeploy.demo import moved, portrait_path
from lmdeploy.images import read_image
from lmdeploy.landmarker import Landmarker
from lmdeploy.types import F64, U8, Prediction
from lmdeploy.video.camera import Camera
from lmdeploy.video.frame import Frame
from lmdeploy.video.retry import Retry

RING = 24  # pictures of the portrait's motion, played forth and back
SLOW = 2.5  # intervals
SOURCES = 4
WARM_UP = 5  # frames: the detector runs on the first, and the session allocates


@dataclass(frozen=True, slots=True)
class Plan:
    """Seconds of the fast and of the slow network; pairs of passes, and frames of each source in one."""

    fast_s: float
    slow_s: float
    pairs: int
    frames: int


QUICK, FULL = Plan(8.0, 8.0, 7, 8), Plan(120.0, 60.0, 11, 30)


def main() -> None:
    """Measure, print the figures, and in full mode write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under 50 s on 2 cores; writes no record")
    parser.add_argument("--model", default="face68", help="a bundle")
    parser.add_argument("--rate", type=float, default=30.0, help="of the camera, pictures per second")
    given = parser.parse_args()
    plan = QUICK if given.quick else FULL
    ring = [np.ascontiguousarray(picture[..., ::-1]) for picture in portraits(given.rate)]
    with Landmarker.load(given.model) as landmarker:
        pairs = shared_against_alone(landmarker, ring, plan)
        fast, frame_ms = ages(landmarker, ring, given.rate, plan.fast_s)
        slowed = Slowed(landmarker.model.backend, SLOW / given.rate)
        landmarker.model = replace(landmarker.model, backend=slowed)
        slow, _ = ages(landmarker, ring, given.rate, plan.slow_s)
    quarter = max(len(slow) // 4, 1)
    figures = {
        "age_p99_intervals": float(np.quantile(fast, 0.99)),
        "age_median_intervals": float(np.median(fast)),
        "frame_ms": frame_ms,
        "age_slow_p99_intervals": float(np.quantile(slow, 0.99)),
        "age_slow_growth": float(np.median(slow[-quarter:]) / np.median(slow[:quarter])),
        "shared_speedup": float(np.median(pairs[:, 1] / pairs[:, 0])),
    }
    if not given.quick:
        details = {"rate": given.rate, "fast": spread(fast), "slow": spread(slow), "pairs_s": pairs.tolist()}
        write_result("streams", figures, details, [])
    print_figures(figures)


def portraits(rate: float) -> list[U8]:
    """u8[720,1280,3] RGB each: the portrait on its way."""
    portrait = read_image(portrait_path())
    return [moved(portrait, index / rate) for index in range(RING)]


def in_turn(ring: list[U8], number: int) -> U8:
    """Forth and back, so that the face never jumps."""
    place = number % (2 * RING - 2)
    return ring[min(place, 2 * RING - 2 - place)]


def ages(landmarker: Landmarker, ring: list[U8], rate: float, seconds: float) -> tuple[list[float], float]:
    """Ages of all results after the warm-up, in intervals, and the median ms from crop to landmarks."""
    script = paced(lambda number: in_turn(ring, number), rate, seconds)
    camera = Camera(0, Lives([script]), retry=Retry(give_up_s=0))
    with landmarker.stream(camera) as stream:
        found = [seen.age_ms * rate / 1e3 for seen in stream if seen.age_ms is not None]
        frame_ms = sum(stream.stages[stage].median_ms for stage in ("crop", "network", "back_map", "smooth"))
    return found[WARM_UP:], frame_ms


def shared_against_alone(landmarker: Landmarker, ring: list[U8], plan: Plan) -> F64:
    """Seconds of four sources at once, and of the same one by one, f64[pairs,2]; which is first alternates."""
    rgb = [np.ascontiguousarray(picture[..., ::-1]) for picture in ring]

    def together() -> None:
        with landmarker.stream([Recorded(rgb, plan.frames) for _ in range(SOURCES)]) as stream:
            assert sum(bool(seen.faces) for seen in stream) > 0, "no face was found"

    def alone() -> None:
        for _ in range(SOURCES):
            with landmarker.stream(Recorded(rgb, plan.frames)) as stream:
                list(stream)

    ways = [together, alone]
    found = np.zeros((plan.pairs, 2))
    together()  # warm up
    for pair in range(plan.pairs):
        for index in (0, 1) if pair % 2 == 0 else (1, 0):
            start = perf_counter()
            ways[index]()
            found[pair, index] = perf_counter() - start
    return found


def spread(values: list[float]) -> dict[str, Any]:
    """Number and quantiles."""
    quantiles = (0.01, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
    return {"frames": len(values), **{f"q{q:g}": float(np.quantile(values, q)) for q in quantiles}}


@dataclass
class Recorded:
    """A file's frames, in memory."""

    ring: list[U8]
    count: int
    stream: bool = True
    rate: float = 30.0
    problems: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Frame]:
        """Every frame."""
        for index in range(self.count):
            yield Frame(in_turn(self.ring, index), index, 1e3 * index / self.rate, f"{index}.jpg")

    def close(self) -> None:
        """Nothing is open."""


class Slowed:
    """A network that takes so many seconds longer, without using the processor."""

    def __init__(self, network: Backend, pause_s: float) -> None:
        """Stand before the network."""
        self.network, self.pause_s, self.provider = network, pause_s, network.provider

    def run(self, crops: U8) -> Prediction:
        """As the network, later."""
        sleep(self.pause_s)
        return self.network.run(crops)

    def close(self) -> None:
        """Close the network."""
        self.network.close()


if __name__ == "__main__":
    main()
