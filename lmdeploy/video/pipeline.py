"""Frames -> tracked, smoothed landmarks -> sinks, one frame after the other, in bounded memory."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from types import FrameType

from lmdeploy.landmarker import Landmarker
from lmdeploy.types import U8, Landmarks
from lmdeploy.video.draw import draw_faces
from lmdeploy.video.follow import Following
from lmdeploy.video.frame import Frame, Source, Stoppable
from lmdeploy.video.latency import Latencies, StageLatency
from lmdeploy.video.several import Alone, Feed, Step
from lmdeploy.video.watch import Watch
from lmdeploy.writers.base import SeenEnough, Sink

STAGES = ("read", "detect", "crop", "network", "back_map", "smooth", "draw", "write", "frame", "age")


@dataclass(slots=True)
class Summary:
    """What a run did.

    frames: read and processed. with_face: frames with at least one face. faces: of all frames. seconds: wall time.
    interrupted: ended by Ctrl-C. problems: one line for each thing that could not be read. stages: latency by stage;
    `frame` is everything after reading (of frames that shared a batch: of all of them), `age` the time from a live
    picture's arrival until its results are written (a video's picture: until it is with the encoder, which has a
    thread of its own). by_source: frames of each source that has a name.
    """

    frames: int = 0
    with_face: int = 0
    faces: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    problems: list[str] = field(default_factory=list)
    stages: dict[str, StageLatency] = field(default_factory=dict)
    by_source: dict[str, int] = field(default_factory=dict)

    def count(self, frame: Frame, faces: Sequence[Landmarks]) -> None:
        """Add a frame that is done."""
        self.frames += 1
        self.faces += len(faces)
        self.with_face += bool(faces)
        if frame.source:
            self.by_source[frame.source] = self.by_source.get(frame.source, 0) + 1


def run(source: Source, landmarker: Callable[[], Landmarker], following: Following, sinks: Sequence[Sink]) -> Summary:
    """Process a whole source, as `run_feed` does, in the caller's own thread."""
    return run_feed(Alone(source), landmarker, [following], sinks)


def run_feed(
    feed: Feed, landmarker: Callable[[], Landmarker], followings: Sequence[Following], sinks: Sequence[Sink]
) -> Summary:
    """Process one source or several; every sink is closed, with valid content, however it ends.

    Args:
        feed: where frames come from; closed at the end.
        landmarker: asked before every step, so that a model can be replaced in mid-stream.
        followings: tracking and smoothing of each source.
        sinks: where results go.
    The first Ctrl-C ends the run after the frames at hand, or the wait for them; a second one at once.
    """
    summary, latencies, watch = Summary(), Latencies(), Watch(followings)
    start = perf_counter()
    with interruptible(feed, *sinks) as stop, ExitStack() as closing:
        closing.callback(feed.close)
        for sink in sinks:
            closing.callback(sink.close)
        try:
            for step in _timed(feed, latencies):
                began, now = perf_counter(), landmarker()
                for (_, frame), faces in zip(step, watch(step, now, latencies), strict=True):
                    _deliver(frame, faces, now, sinks, latencies)
                    summary.count(frame, faces)
                latencies.add("frame", (perf_counter() - began) * 1e3)
                if stop.is_set():
                    break
        except (BrokenPipeError, SeenEnough):  # BrokenPipeError: whoever read standard output has seen enough
            pass
    summary.interrupted, summary.problems = stop.is_set(), feed.problems
    found = latencies.summary()
    summary.stages = {stage: found[stage] for stage in STAGES if stage in found}
    summary.seconds = perf_counter() - start
    return summary


def _deliver(
    frame: Frame, faces: list[Landmarks], landmarker: Landmarker, sinks: Sequence[Sink], latencies: Latencies
) -> None:
    picture: U8 | None = None
    if any(sink.drawn for sink in sinks):
        start = perf_counter()
        picture = draw_faces(frame.image.copy(), faces, landmarker.spec.landmarks)
        latencies.add("draw", (perf_counter() - start) * 1e3)
    start = perf_counter()
    for sink in sinks:
        sink.write(frame, faces, picture)
    latencies.add("write", (perf_counter() - start) * 1e3)
    if frame.at is not None:
        latencies.add("age", (monotonic() - frame.at) * 1e3)


def _timed(feed: Feed, latencies: Latencies) -> Iterator[Step]:
    start = perf_counter()
    for step in feed:
        latencies.add("read", (perf_counter() - start) * 1e3)
        yield step
        start = perf_counter()


@contextmanager
def interruptible(*parts: object) -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; a second one is a KeyboardInterrupt. In other threads it is never set.

    parts: those that can be stopped do not go on waiting for a picture, or a person, that may never come.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(number: int, at: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        for part in parts:
            if isinstance(part, Stoppable):
                part.stop()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
