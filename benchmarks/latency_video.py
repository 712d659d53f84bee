"""The default model on 720p video: frame to landmarks with tracking, and a whole file through `lmdeploy predict`.

The video is the demo's: a real portrait that is moved (pan, zoom, roll, light), so one face is followed throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.engines_agree import ENGINES
from lmdeploy.demo import RATE, write_portrait_video
from lmdeploy.landmarker import Landmarker
from lmdeploy.predict import PredictOptions, predict_source
from lmdeploy.video.follow import Following, follow
from lmdeploy.video.frame import Frame
from lmdeploy.video.latency import Latencies
from lmdeploy.video.smooth import Smoother
from lmdeploy.video.source import open_source
from lmdeploy.video.track import Tracker

DETECTOR = "haar"
KEPT_FRAMES = 60  # of 2.8 MB each
SECONDS = {"quick": 3.0, "full": 10.0}
RUNS = {"quick": 1, "full": 7}
ROUNDS = {"quick": 3, "full": 25}


def make_video(path: Path, mode: str) -> Path:
    """The demo's portrait in motion, 1280x720, 30 frames/s, H.264."""
    write_portrait_video(path, SECONDS[mode])
    return path


def tracked(model: str, threads: int | None, video: Path, mode: str, detector: str = DETECTOR) -> dict[str, Any]:
    """Ms from a decoded frame u8[720,1280,3] to smoothed landmarks of its one face: crop, network, tracking, filter.

    The frames lie in memory and are gone through again and again, forwards and backwards, so that the face never
    jumps. The first round, in which the detector finds the face, is warm-up. By engine: `auto`, and ONNX Runtime.
    """
    source = open_source(str(video))
    frames = list(islice(source, KEPT_FRAMES))
    source.close()
    found: dict[str, dict[str, Any]] = {}
    for backend in ENGINES:
        with Landmarker.load(model, threads=threads, backend=backend, detector=detector) as landmarker:
            ms = _milliseconds(landmarker, frames, ROUNDS[mode])
            provider = landmarker.model.backend.provider
        median, p99 = np.quantile(ms, [0.5, 0.99]).tolist()
        found[backend] = {"provider": provider, "median_ms": median, "p99_ms": p99, "frames": len(ms)}
    return found


def whole_file(options: PredictOptions, mode: str) -> dict[str, Any]:
    """Frames per second of `lmdeploy predict VIDEO --save OUT.mp4`: decoded, tracked, drawn, encoded and finished.

    Loading the network is not in it, everything from the first frame to the finished file is. Median of the runs;
    `stages` are the medians and 99th percentiles of the last one, ms.
    """
    rates: list[float] = []
    for _ in range(RUNS[mode]):
        summary = predict_source(options, lambda _: None)
        assert summary.with_face == summary.frames > 0, "the portrait's face is in every frame"
        rates.append(summary.frames / summary.seconds)
    stages = {name: [stage.median_ms, stage.p99_ms] for name, stage in summary.stages.items()}
    return {"fps": float(np.median(rates)), "runs_fps": rates, "frames": summary.frames, "stages_ms": stages}


def _milliseconds(landmarker: Landmarker, frames: Sequence[Frame], rounds: int) -> list[float]:
    """Of each frame after the first round."""
    following, stages, times = Following(Tracker(), Smoother()), Latencies(), []
    there_and_back = [*frames, *reversed(frames)]
    shown = islice(cycle(there_and_back), len(frames) * (rounds + 1))
    for index, frame in enumerate(shown):
        now = replace(frame, index=index, time_ms=1000 * index / RATE)
        start = perf_counter()
        (faces,) = follow([now], [following], landmarker, stages)
        times.append(1e3 * (perf_counter() - start))
        assert len(faces) == 1, "the portrait's face is in every frame"
    return times[len(frames) :]
