"""What YuNet's heads say -> boxes (Wu, Peng, Yu: YuNet: A Tiny Millisecond-level Face Detector, MIR 2023).

    score  = sqrt(cls obj)                      cls, obj clipped to [0, 1]
    (x, y) = ((c + b0) s, (r + b1) s)           the box's centre, input px
    (w, h) = (exp(b2) s, exp(b3) s)             for the cell in row r and column c of stride s

Differs from the paper: boxes are compared in whole pixels, as cv2.FaceDetectorYN compares them, so that both keep the
same ones and a box map that was fitted with the one holds for the other.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lmdeploy.types import F32, F64

STRIDES = (8, 16, 32)
HEADS = tuple(f"{head}_{stride}" for stride in STRIDES for head in ("cls", "obj", "bbox"))
"""The outputs that are read; `kps_*`, five points of the face, are not."""


def sizes(height: int, width: int) -> dict[str, int]:
    """How many numbers each of HEADS holds for an input of that size, px, multiples of 32."""
    cells = {stride: (height // stride) * (width // stride) for stride in STRIDES}
    return {
        f"{head}_{s}": n * (4 if head == "bbox" else 1) for s, n in cells.items() for head in ("cls", "obj", "bbox")
    }


def candidates(heads: Mapping[str, F32], width: int, score_threshold: float) -> F64:
    """Boxes f64[N,5] (x, y, w, h, score) with at least that score, input px, x and y of the upper left corner.

    Args:
        heads: HEADS, of any shape, row after row of cells.
        width: of the input, px, a multiple of 32.
        score_threshold: in [0, 1].
    """
    found = [np.empty((0, 5))]
    for stride in STRIDES:
        cls, obj = (np.clip(heads[f"{name}_{stride}"].ravel(), 0, 1) for name in ("cls", "obj"))
        score = np.sqrt(cls * obj)
        cells = np.flatnonzero(score >= score_threshold)
        b = heads[f"bbox_{stride}"].reshape(-1, 4)[cells].astype(np.float64)
        row, column = np.divmod(cells, width // stride)
        with np.errstate(over="ignore"):
            size = np.exp(b[:, 2:]) * stride
        corner = (np.stack([column, row], axis=1) + b[:, :2]) * stride - size / 2
        boxes = np.concatenate([corner, size, score[cells, None]], axis=1)
        found.append(boxes[np.isfinite(boxes).all(axis=1)])
    return np.concatenate(found)


def suppress(boxes: F64, overlap: float, top_k: int) -> F64:
    """Of boxes f64[N,5] the best `top_k`, without those that overlap a better one by more than `overlap`, best first.

    overlap: intersection over union, in whole pixels.
    """
    order = np.argsort(-boxes[:, 4], kind="stable")[:top_k]
    whole = np.trunc(boxes[:, :4])
    kept: list[int] = []
    for index in order.tolist():
        if not kept or _overlaps(whole[index], whole[kept]).max() <= overlap:
            kept.append(index)
    return np.asarray(boxes[kept], np.float64).reshape(-1, 5)


def _overlaps(box: F64, others: F64) -> F64:
    """Intersection over union of one (x, y, w, h) with each of others f64[N,4]; 1 where neither has an area."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[:2] + box[2:], others[:, :2] + others[:, 2:])
    common = np.maximum(high - low, 0).prod(axis=1)
    union = box[2] * box[3] + others[:, 2] * others[:, 3] - common
    return np.asarray(np.where(union > 0, common / np.maximum(union, 1), 1.0), np.float64)
