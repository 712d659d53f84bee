"""Whole frames in: the files of a bundle that cut the crops themselves, and what their graphs are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from lmdeploy.backends.base import Backend
from lmdeploy.bundle import Bundle
from lmdeploy.errors import InputError
from lmdeploy.geometry import block_side, invert
from lmdeploy.onnx_file import inspect
from lmdeploy.types import F64, U8, Array, Prediction

FILES = {"fp32": "model.frame.onnx", "fp16": "model.frame.fp16.onnx"}
"""By precision; on processors cutting outside is several times faster, so the 8-bit file for them has none."""
TAPS = (1, 2, 4, 8, 16)
"""How many pixels wide the blocks of a run may be: each is a shape of its own, so there are few."""
ROUNDING = 1 + 1e-5
"""The graph computes a block's side in float32, and it must never find more than the host."""

MOST_BYTES = 1 << 30
"""Of the colours that a run fetches: for a crop of 256 px 3 MB, times the square of the blocks' side."""


@runtime_checkable
class TakesFrames(Protocol):
    """What a backend may offer beside `run`: to cut the crops itself, out of frames that it is given whole."""

    def run_frames(self, frames: Sequence[U8], index: Sequence[int], matrices: Sequence[F64]) -> Prediction | None:
        """Landmarks of B crops, in crop px; None where these are not for it: cut the crops and `run` them.

        Args:
            frames: u8[H,W,3] RGB each; of several sizes they are not for it.
            index: of each crop's frame. matrices: f64[2,3] of each crop, frame px -> crop px.
        """
        ...


def from_frames(backend: Backend, images: Sequence[U8], matrices: Sequence[F64]) -> Prediction | None:
    """What a backend says of whole frames; None where it takes crops only, or these frames are not for it.

    Args:
        images: of each crop, the frame that it is cut from: u8[H,W,3] RGB, or grey, which is for nobody. A frame that
            stands there more than once is sent once.
        matrices: f64[2,3] of each crop, frame px -> crop px.
    """
    if not isinstance(backend, TakesFrames) or any(image.ndim != 3 for image in images):
        return None
    frames = {id(image): image for image in images}
    places = {key: place for place, key in enumerate(frames)}
    return backend.run_frames(list(frames.values()), [places[id(image)] for image in images], matrices)


class FramesAsCrops:
    """Runs crops as if each were a frame that is all crop, so that they can be compared with what `run` gives."""

    def __init__(self, inner: TakesFrames) -> None:
        """`inner` stays open."""
        self.provider, self._inner = "whole frames", inner

    def run(self, crops: U8) -> Prediction:
        """Landmarks of crops u8[B,S,S,3] RGB, in crop px; InputError where they are not for it."""
        found = self._inner.run_frames(list(crops), range(len(crops)), [np.eye(2, 3)] * len(crops))
        if found is None:
            raise InputError("crops cannot go in as frames here")
        return found

    def close(self) -> None:
        """Nothing: what it looks at stays open."""


def frame_file(bundle: Bundle, precision: str) -> Path | None:
    """The file of a bundle that takes whole frames, safe to be given to an engine; None where there is none."""
    name = FILES.get(precision, "")
    if bundle.alone or name not in bundle.manifest.files:
        return None
    inspect(bundle.file(name))
    return bundle.file(name)


def largest_batch(size: int, taps: int, sizes: Sequence[int]) -> int:
    """The largest of some batch sizes that a run on crops of `size` px has memory for; 0 where it is none of them."""
    each = 12 * (2 * taps * size) ** 2
    return max((batch for batch in sizes if batch * each <= MOST_BYTES), default=0)


def taps_for(matrices: Sequence[F64]) -> int | None:
    """Length of `taps` for crops of these matrices f64[2,3] (frame px -> crop px); None where none is long enough."""
    widest = max(block_side(matrix / ROUNDING) for matrix in matrices)
    return next((taps for taps in TAPS if taps >= widest), None)


def inputs_for(frames: U8, index: Sequence[int], matrices: Sequence[F64], taps: int) -> dict[str, Array]:
    """What a graph that takes whole frames is fed with (export.surgery.whole_frames says how it reads it).

    Args:
        frames: u8[N,H,W,3] RGB.
        index: of each crop's frame. matrices: f64[2,3] of each crop, frame px -> crop px.
        taps: what `taps_for` gave.
    """
    return {
        "frames": frames,
        "matrices": np.stack([invert(matrix) for matrix in matrices]).astype(np.float32),
        "index": np.asarray(index, np.int32),
        "taps": np.arange(taps, dtype=np.float32),
    }
