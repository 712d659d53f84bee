"""The backend: batches of any size over the lanes of one engine."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from lmdeploy.backends.contract import check_crops
from lmdeploy.backends.cuda import Device
from lmdeploy.backends.tensorrt.builder import Built, build
from lmdeploy.backends.tensorrt.cache import EngineCache, made_of
from lmdeploy.backends.tensorrt.lane import Lane, open_engine
from lmdeploy.backends.tensorrt.library import load, make_logger, version
from lmdeploy.backends.tensorrt.options import BuildOptions
from lmdeploy.backends.tensorrt.signature import signature_of_engine
from lmdeploy.backends.turns import turn_about
from lmdeploy.errors import BundleError, InputError
from lmdeploy.types import F32, U8, Array, Prediction

BUCKETS = (1, 4, 16, 64)
PROVIDER = "TensorRT"
LANES = 2
"""For batches of one size, so that one is copied while the other computes."""


class TensorRTBackend:
    """A network of design.md's exported graph as a TensorRT engine, built on first use and kept in a cache.

    Args:
        source: path of the ONNX file, or its bytes; its types decide the precision.
        options: how the engine is built.
        device: number of the GPU.
        buckets: batch sizes that are run; a batch is filled up to the next one, a larger one is cut.
        cache: folder of engines; default ~/.cache/lmdeploy/tensorrt.
        show: draw the progress of a build, which takes minutes, on standard error.
    Errors: MissingExtraError without TensorRT or cuda-bindings, DeviceError without a GPU, when the engine fails, or
    for a cache folder that cannot be used; BundleError for a file that is no exported graph or not for TensorRT.
    """

    def __init__(
        self,
        source: Path | str | bytes,
        options: BuildOptions | None = None,
        *,
        device: int = 0,
        buckets: tuple[int, ...] = BUCKETS,
        cache: Path | None = None,
        show: bool = True,
    ) -> None:
        """Find the engine in the cache or build it; memory for a batch size is taken when it is first run."""
        trt = load()
        self.options = options or BuildOptions()
        self._profiles = _profiles(self.options, buckets)
        self._device = Device(device)
        self._device.use()
        onnx, origin = _content(source)
        logger = make_logger(trt)

        def fresh(timing: bytes) -> Built:
            return build(trt, onnx, self.options, timing, origin=origin, show=show)

        made = made_of(onnx, version(trt), self._device.gpu, self.options)
        tell = Console(stderr=True, quiet=not show).print
        engine = EngineCache(cache, tell).obtain(made, fresh, lambda plan: open_engine(trt, logger, plan))
        signature = signature_of_engine(trt, engine, origin)
        self.provider = PROVIDER
        self.size, self.points, self.outputs = signature.size, signature.points, list(signature.outputs)
        self._origin, self._trt, self._logger = origin, trt, logger
        self._engine: Any = engine
        self._lanes: dict[int, list[Lane]] = {}
        self._lock = threading.Lock()

    def run(self, crops: U8) -> Prediction:
        """Landmarks of crops u8[B,S,S,3] RGB, in crop px; points, score and spread as in types.Prediction."""
        if self._engine is None:
            raise InputError(f"{self._origin} is closed: open it again before predicting")
        check_crops(crops, self.size)
        largest = max(self._profiles)
        with self._lock:
            self._device.use()  # a property of the thread, and threads may change between calls
            parts = list(turn_about(self._in_turn([crops[at : at + largest] for at in range(0, len(crops), largest)])))
        return Prediction(*(_joined([part[name] for part in parts], self._shape(name)) for name in self.outputs))

    def close(self) -> None:
        """Free the engine and its memory; a second call does nothing."""
        lanes, self._lanes, self._engine = self._lanes, {}, None
        if lanes:
            self._device.use()
        for lane in [lane for some in lanes.values() for lane in some]:
            lane.close()

    def lane(self, crops: U8) -> Lane:
        """The lane for such a batch, u8[B,S,S,3], with these crops on the GPU; for benchmarks."""
        with self._lock:
            self._device.use()
            ((lanes, part),) = self._in_turn([crops])
            lanes[0].start(part)
            lanes[0].finish()
        return lanes[0]

    def _in_turn(self, parts: list[U8]) -> Iterator[tuple[list[Lane], U8]]:
        """Parts of at most the largest bucket, each with the lanes of its own; a second one where there is more."""
        turns: Counter[int] = Counter()
        for part in parts:
            batch = min(b for b in self._profiles if b >= len(part))
            turns[batch] += 1
            lanes, profile = self._lanes.setdefault(batch, []), self._profiles[batch]
            if len(lanes) < min(turns[batch], LANES):
                lanes.append(Lane(self._device, self._trt, self._engine, batch, profile, self._logger))
            yield lanes, part

    def _shape(self, name: str) -> tuple[int, ...]:
        return (self.points, 2) if name == "points" else (self.points,)


def _profiles(options: BuildOptions, buckets: tuple[int, ...]) -> dict[int, int]:
    """Profile by batch size, smallest first."""
    if not buckets or min(buckets) < 1:
        raise InputError(f"buckets must be batch sizes of at least 1, got {list(buckets)}")
    return {batch: options.profile_of(batch) for batch in sorted(set(buckets))}


def _content(source: Path | str | bytes) -> tuple[bytes, str]:
    """(the ONNX file, what messages call it)."""
    if isinstance(source, bytes):
        return source, "the ONNX file"
    try:
        return Path(source).read_bytes(), str(source)
    except OSError as error:
        raise BundleError(f"{source} cannot be read ({error.strerror}); export the model again") from error


def _joined(parts: list[Array], shape: tuple[int, ...]) -> F32:
    """Rows of all parts, f32[B,*shape]."""
    return np.concatenate(parts) if parts else np.empty((0, *shape), np.float32)
