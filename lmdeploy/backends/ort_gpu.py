"""ONNX Runtime's CUDA provider at full speed: crops in fixed batch sizes, or whole frames that are cut on the GPU."""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lmdeploy.backends.base import Engine
from lmdeploy.backends.contract import check_crops
from lmdeploy.backends.cuda import Device
from lmdeploy.backends.frames import FramesAsCrops, inputs_for, largest_batch, taps_for
from lmdeploy.backends.ort import OrtBackend
from lmdeploy.backends.ort_lane import OrtLane, Sizes
from lmdeploy.backends.reference import distance_px
from lmdeploy.backends.turns import Named, turn_about
from lmdeploy.errors import DeviceError, InputError, LmdeployError, MissingExtraError
from lmdeploy.types import F64, U8, Prediction

LOG = logging.getLogger(__name__)
Key = tuple[int, int, int, tuple[int, ...]]
BUCKETS = (1, 4, 16, 64)
"""Batch sizes, of crops and of frames: one is filled up to the next, a larger one is cut."""
MOST_SHAPES = 8
"""Sets of shapes that are held at once; the one that was not used for longest is given up."""
LANES = 2
"""For batches of the same shape, so that one is copied while the other computes; the second is made when needed."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a lane is given at once.

    inputs: by name. count: of crops. frames: how many pictures these are cut from, 0 where they are crops already.
    picture: shape of a frame or crop.
    """

    inputs: Named
    count: int
    frames: int
    picture: tuple[int, ...]

    @property
    def key(self) -> Key:
        """What decides the shapes: batch size, taps, number of frames, shape of a picture."""
        return (
            _bucket(self.count),
            len(self.inputs.get("taps", ())),
            self.frames and _bucket(self.frames),
            self.picture,
        )

    def sizes(self, points: int, outputs: Sequence[str]) -> Sizes:
        """Of all tensors of a network that finds so many points."""
        batch, taps, frames, picture = self.key
        told = {name: (batch, points, *([2] if name == "points" else [])) for name in outputs}
        if not frames:
            return Sizes({"images": (batch, *picture)}, told)
        inputs = {"frames": (frames, *picture), "matrices": (batch, 2, 3), "index": (batch,), "taps": (taps,)}
        return Sizes(inputs, told)


class OrtGpu:
    """A network on one GPU; an Engine, and one that TakesFrames where it has a file for them.

    Args:
        engine: the network as it was opened and checked; closing this closes it.
        network: its ONNX file. frames: the one that takes whole frames, if the bundle has it.
    Errors: MissingExtraError without cuda-bindings, DeviceError without a GPU or when it fails.
    """

    def __init__(self, engine: OrtBackend, network: Path, frames: Path | None) -> None:
        """Find the GPU; memory is taken, and graphs are captured, when a shape first comes."""
        self.provider, self.size, self.points, self.outputs = (
            engine.provider, engine.size, engine.points, engine.outputs,
        )  # fmt: skip
        self._device, self._engine = Device(), engine
        self._network, self._frames = network, frames
        self._lanes: OrderedDict[Key, list[OrtLane]] = OrderedDict()
        self._lock = threading.Lock()
        self._closed = self._plain = False

    def run(self, crops: U8) -> Prediction:
        """Landmarks of crops u8[B,S,S,3] RGB, in crop px."""
        check_crops(crops, self.size)
        largest = max(BUCKETS)
        work = [
            Work({"images": part}, len(part), 0, crops.shape[1:])
            for part in (crops[at : at + largest] for at in range(0, len(crops), largest))
        ]
        with self._lock:
            self._check_open()
            if self._plain:
                return self._engine.run(crops)
            try:
                return self._all(work)
            except DeviceError as error:
                LOG.warning("%s runs without fixed batch sizes from here on: %s", self.provider, error)
                self._plain = True
                return self._engine.run(crops)

    def run_frames(self, frames: Sequence[U8], index: Sequence[int], matrices: Sequence[F64]) -> Prediction | None:
        """As TakesFrames says; None without a file for frames, too."""
        taps = taps_for(matrices) if matrices else None
        if taps is None or len({frame.shape for frame in frames}) != 1 or len(frames) > max(BUCKETS):
            return None
        most = largest_batch(self.size, taps, BUCKETS)
        with self._lock:
            self._check_open()
            if self._frames is None or not most:
                return None
            together = np.stack(frames) if len(frames) > 1 else frames[0][None]
            parts = [slice(at, at + most) for at in range(0, len(matrices), most)]
            inputs = [inputs_for(together, index[part], matrices[part], taps) for part in parts]
            try:
                return self._all([Work(i, len(i["index"]), len(frames), frames[0].shape) for i in inputs])
            except DeviceError as error:
                LOG.warning("%s cuts no crops out of whole frames from here on: %s", self.provider, error)
                self._frames = None
                return None

    def close(self) -> None:
        """Free the sessions and their memory; a second call does nothing."""
        with self._lock:
            self._closed = True
            self.forget()
            self._engine.close()

    def lane(self, crops: U8) -> OrtLane:
        """The lane for such a batch, u8[B,S,S,3], with these crops on the GPU; for benchmarks."""
        part = Work({"images": crops}, len(crops), 0, crops.shape[1:])
        with self._lock:
            self._device.use()
            lane = self._lanes_for(part, turn=1)[0]
            lane.start(part.inputs)
            lane.finish()
        return lane

    def no_frames(self) -> None:
        """Take crops only from here on."""
        self._frames = None

    def forget(self) -> None:
        """Give back the memory of every shape that has come so far."""
        if self._lanes:
            self._device.use()
        while self._lanes:
            for lane in self._lanes.popitem(last=False)[1]:
                lane.close()

    def _check_open(self) -> None:
        if self._closed:
            raise InputError("the model is closed: open it again before predicting")

    def _all(self, parts: list[Work]) -> Prediction:
        """Outputs of every part, joined."""
        self._device.use()  # a property of the thread, and threads may change between calls
        turns: Counter[Key] = Counter()

        def in_turn() -> Iterator[tuple[list[OrtLane], Named]]:
            for part in parts:
                turns[part.key] += 1
                yield self._lanes_for(part, turns[part.key]), part.inputs

        found = [
            {name: value[: part.count] for name, value in outputs.items()}
            for outputs, part in zip(turn_about(in_turn()), parts, strict=True)
        ]
        return Prediction(*(self._joined(name, [part[name] for part in found]) for name in self.outputs))

    def _lanes_for(self, part: Work, turn: int) -> list[OrtLane]:
        """The lanes of a shape, one more of them when it comes for a second time in one call."""
        source = self._frames if part.frames else self._network
        assert source is not None, "frames come only where there is a file for them"
        lanes = self._lanes.setdefault(part.key, [])
        self._lanes.move_to_end(part.key)
        if len(lanes) < min(turn, LANES):
            self._make_room()
            lanes.append(OrtLane(self._device, source, part.sizes(self.points, self.outputs)))
        return lanes

    def _make_room(self) -> None:
        for key in list(islice(self._lanes, max(0, len(self._lanes) - MOST_SHAPES))):
            for lane in self._lanes.pop(key):
                lane.close()

    def _joined(self, name: str, parts: list[Any]) -> Any:
        shape = (self.points, 2) if name == "points" else (self.points,)
        return np.concatenate(parts) if parts else np.empty((0, *shape), np.float32)


def _bucket(count: int) -> int:
    """The smallest batch size that holds so many."""
    return next(size for size in BUCKETS if size >= count)


def on_gpu(engine: OrtBackend, network: Path, frames: Path | None, reference: Path | None, limit_px: float) -> Engine:
    """The engine with lanes of its own on its GPU; itself where there is no cuda-bindings, or no GPU for them.

    Args:
        engine, network, frames: as OrtGpu takes them.
        reference: the bundle's reference.npz. The file for frames is used only where, given its crops as frames, it is
            at most `limit_px` off (99th percentile).
    """
    try:
        fast = OrtGpu(engine, network, frames)
    except (MissingExtraError, DeviceError) as error:
        LOG.info("%s copies crops without pinned memory: %s", engine.provider, error)
        return engine
    if frames is not None and reference is not None:
        try:
            far = distance_px(FramesAsCrops(fast), reference)
        except LmdeployError as error:
            LOG.warning("%s cuts no crops out of whole frames: %s", engine.provider, error)
            far = float("inf")
        if not far <= limit_px:
            LOG.warning("%s is %.3g px off on whole frames: crops are cut outside", engine.provider, far)
            fast.no_frames()
        fast.forget()
    return fast
