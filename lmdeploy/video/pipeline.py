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
from lmdeploy.video.follow import Following, follow
from lmdeploy.video.frame import Frame, Source, Stoppable
from lmdeploy.video.latency import Latencies, StageLatency
from lmdeploy.writers.base import SeenEnough, Sink

STAGES = ("read", "detect", "crop", "network", "back_map", "smooth", "draw", "write", "frame", "age")


@dataclass(slots=True)
class Summary:
    """What a run did.

    frames: read and processed. with_face: frames with at least one face. faces: of all frames. seconds: wall time.
    interrupted: ended by Ctrl-C. problems: one line for each thing that could not be read. stages: latency by stage;
    `frame` is everything after reading, `age` the time from a live picture's arrival until its
    results are written (a video's picture: until it is with the encoder, which has a thread of its own).
    """

    frames: int = 0
    with_face: int = 0
    faces: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    problems: list[str] = field(default_factory=list)
    stages: dict[str, StageLatency] = field(default_factory=dict)


def run(source: Source, landmarker: Callable[[], Landmarker], following: Following, sinks: Sequence[Sink]) -> Summary:
    """Process a whole source; every sink is closed, with valid content, however it ends.

    Args:
        source: where frames come from; closed at the end.
        landmarker: asked before every frame, so that a model can be replaced in mid-stream.
        following: tracking and smoothing.
        sinks: where results go.
    The first Ctrl-C ends the run after the frame at hand, or the wait for one; a second one at once.
    """
    summary, latencies = Summary(), Latencies()
    start = perf_counter()
    with interruptible(source, *sinks) as stop, ExitStack() as closing:
        closing.callback(source.close)
        for sink in sinks:
            closing.callback(sink.close)
        try:
            for frame in _timed(source, latencies):
                began = perf_counter()
                (faces,) = follow([frame], [following], landmarker(), latencies)
                _deliver(frame, faces, landmarker(), sinks, latencies)
                latencies.add("frame", (perf_counter() - began) * 1e3)
                if frame.at is not None:
                    latencies.add("age", (monotonic() - frame.at) * 1e3)
                summary.frames += 1
                summary.faces += len(faces)
                summary.with_face += bool(faces)
                if stop.is_set():
                    break
        except (BrokenPipeError, SeenEnough):  # BrokenPipeError: whoever read standard output has seen enough
            pass
    summary.interrupted, summary.problems = stop.is_set(), source.problems
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


def _timed(source: Source, latencies: Latencies) -> Iterator[Frame]:
    start = perf_counter()
    for frame in source:
        latencies.add("read", (perf_counter() - start) * 1e3)
        yield frame
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
