"""What a benchmark found: one object, written as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from lmdeploy.benchmark.machine import Machine
from lmdeploy.benchmark.pairs import quartiles, ratio
from lmdeploy.types import F64


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Times(_Frozen):
    """Of `calls` calls: median and 99th percentile, ms; `pairs_ms`: median of each interleaved block."""

    calls: int
    median_ms: float
    p99_ms: float
    pairs_ms: tuple[float, ...] = ()


class Batch(Times):
    """Frames with `faces` boxes each: faces a second at the median."""

    faces: int
    faces_per_s: float


class Accuracy(_Frozen):
    """Of one way on the labelled folder, true boxes, image px: per cent of the normaliser but auc, as `evaluate`."""

    nme: float
    fr: float
    auc: float
    threshold: float
    normaliser: str
    images: int


class Speedup(_Frozen):
    """How many times faster than the way it is compared with: median over the pairs of a pair's ratio, quartiles."""

    median: float
    quartiles: tuple[float, float]


class Measured(_Frozen):
    """One way that works.

    stages: crop (not where the graph crops), network and back_map of a frame with one known box, detect of a whole
    frame. known_box: a frame with one face whose box is known, as most frames of a video are, to landmarks; found_box:
    with the detector before it.
    start_mb, peak_mb: resident memory of a process of its own before the model was opened, and at its peak; None where
    the system does not say.
    """

    backend: str
    device: str
    precision: str
    provider: str
    threads: int | None = None
    stages: dict[str, Times]
    known_box: Times
    found_box: Times
    batches: tuple[Batch, ...]
    start_mb: float | None
    peak_mb: float | None
    speedup: Speedup | None = None
    accuracy: Accuracy | None = None

    @property
    def title(self) -> str:
        """The provider for people: `ONNX Runtime CPU int8` for `CPUExecutionProvider int8`."""
        name, found, precision = self.provider.partition("ExecutionProvider")
        return f"ONNX Runtime {name}{precision}" if found else self.provider


class Failed(_Frozen):
    """One way that does not work, and why."""

    backend: str
    device: str
    precision: str
    reason: str


class Report(_Frozen):
    """A benchmark of one model on one machine; `compared_with` is the provider that speedups refer to."""

    kind: Literal["lmdeploy-benchmark"] = "lmdeploy-benchmark"
    schema_version: Literal[1] = 1
    time: str
    model: str
    digest: str
    landmarks: str
    crop_px: int
    frame: tuple[int, int]
    detector: str
    quick: bool
    data: str | None = None
    machine: Machine
    gpu: str
    versions: dict[str, str]
    pairs: int
    compared_with: str
    ways: tuple[Measured, ...]
    failed: tuple[Failed, ...]

    def to_json(self) -> str:
        """One JSON object, indented; what is not known is null."""
        return self.model_dump_json(indent=1) + "\n"


def times_of(blocks: Sequence[F64], *, keep: bool = True) -> Times:
    """Figures of the calls f64[calls], ms, of each block; `keep`: with the medians of the blocks."""
    calls = np.concatenate(blocks)
    median, p99 = np.quantile(calls, [0.5, 0.99]).tolist()
    pairs = tuple(float(np.median(block)) for block in blocks) if keep else ()
    return Times(calls=len(calls), median_ms=median, p99_ms=p99, pairs_ms=pairs)


def batch_of(blocks: Sequence[F64], faces: int) -> Batch:
    """The same of frames with so many faces."""
    times = times_of(blocks)
    return Batch(**times.model_dump(), faces=faces, faces_per_s=1e3 * faces / times.median_ms)


def speedup_of(other: Times, own: Times) -> Speedup:
    """How many times faster `own` is than `other`, which ran beside it."""
    over, under = np.array(other.pairs_ms), np.array(own.pairs_ms)
    return Speedup(median=ratio(over, under), quartiles=quartiles(over / under))
