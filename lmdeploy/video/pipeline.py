"""Frames -> tracked, smoothed landmarks -> sinks, one frame after the other, in bounded memory."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter
from types import FrameType

from lmdeploy.landmarker import Landmarker
from lmdeploy.types import U8, Landmarks
from lmdeploy.video.draw import draw_faces
from lmdeploy.video.frame import Frame, Source
from lmdeploy.video.latency import Latencies, StageLatency
from lmdeploy.video.smooth import Smoother
from lmdeploy.video.track import Tracker
from lmdeploy.writers.base import Sink

STAGES = ("read", "detect", "crop", "network", "back_map", "smooth", "draw", "write", "frame")


@dataclass(frozen=True, slots=True)
class Following:
    """What turns frames into faces of a stream; both None for still images.

    max_faces: how many faces of a still image are kept, best first; None keeps all.
    """

    tracker: Tracker | None = None
    smoother: Smoother | None = None
    max_faces: int | None = None


@dataclass(slots=True)
class Summary:
    """What a run did.

    frames: read and processed. with_face: frames with at least one face. faces: of all frames. seconds: wall time.
    interrupted: ended by Ctrl-C. problems: one line for each thing that could not be read. stages: latency by stage;
    `frame` is everything after reading.
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
    The first Ctrl-C ends the run after the frame at hand, a second one at once.
    """
    summary, latencies = Summary(), Latencies()
    start = perf_counter()
    with interruptible() as stop, ExitStack() as closing:
        closing.callback(source.close)
        for sink in sinks:
            closing.callback(sink.close)
        try:
            for frame in _timed(source, latencies):
                began = perf_counter()
                faces = _faces(frame, landmarker(), following, latencies)
                _deliver(frame, faces, landmarker(), sinks, latencies)
                latencies.add("frame", (perf_counter() - began) * 1e3)
                summary.frames += 1
                summary.faces += len(faces)
                summary.with_face += bool(faces)
                if stop.is_set():
                    break
        except BrokenPipeError:  # whoever read standard output has seen enough
            pass
    summary.interrupted, summary.problems = stop.is_set(), source.problems
    found = latencies.summary()
    summary.stages = {stage: found[stage] for stage in STAGES if stage in found}
    summary.seconds = perf_counter() - start
    return summary


def _faces(frame: Frame, landmarker: Landmarker, following: Following, latencies: Latencies) -> list[Landmarks]:
    landmarker.observe = latencies.add
    if following.tracker is None:
        found = landmarker.predict(frame.image)[: following.max_faces]
    else:
        found = following.tracker.update(landmarker, frame.image)
    faces = [replace(face, frame=frame.index, time_ms=frame.time_ms) for face in found]
    if following.smoother is None:
        return faces
    start = perf_counter()
    faces = following.smoother.update(faces)
    latencies.add("smooth", (perf_counter() - start) * 1e3)
    return faces


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
def interruptible() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; a second one is a KeyboardInterrupt. In other threads it is never set."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(number: int, at: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
