"""Whole frames in: the files of a bundle that cut the crops themselves, and what their graphs are given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lmdeploy.geometry import block_side, invert
from lmdeploy.types import F64, U8, Array

FILES = {"fp32": "model.frame.onnx", "fp16": "model.frame.fp16.onnx"}
"""By precision; on processors cutting outside is several times faster, so the 8-bit file for them has none."""
TAPS = (1, 2, 4, 8, 16)
"""How many pixels wide the blocks of a run may be: each is a shape of its own, so there are few."""
ROUNDING = 1 + 1e-5
"""The graph computes a block's side in float32, and it must never find more than the host."""


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
