"""Label-free quality of a predictor: does its answer follow when the crop is moved? (Honari et al., Section 3).

    r(I) = mean over landmarks and maps T of |T L(I) - L(T I)|          crop px

L: any predictor's landmarks. T: a few fixed small affine maps about the crop's centre. A landmark that T moves out of
the crop does not count. A detector that sees what it points at moves its points with the picture; one that guesses
does not, and r is the distance between the two. It needs no label, no second model and no training data.

With the built-in face68, r is 0.5 to 1.2 % of the crop's side on faces, and about 10 % on noise and on faces with
their pixels shuffled. r is no error: an answer that is wrong in the same way everywhere (each point a pixel too far
along the nose) has r = 0, and a constant answer has the r of the maps themselves, `of_constant`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from lmdeploy.errors import InputError
from lmdeploy.geometry import transform
from lmdeploy.types import F64, U8, Prediction

MAPS = 6
SEED = 20180618  # of the fixed maps
ROTATE = 20.0  # degrees, +-
TRANSLATE = 0.1  # of the crop's side, +-
SCALE = 0.1  # 1 +-


class Predictor(Protocol):
    """What is judged: any backend of `lmdeploy.backends`, or whatever answers like one."""

    def run(self, crops: U8) -> Prediction:
        """Landmarks of crops u8[B,S,S,3] RGB, in crop px."""
        ...


class Residual(NamedTuple):
    """px: f64[N], r of every crop, NaN where no landmark ever stays inside. relative: f64[N], px over the side."""

    px: F64
    relative: F64


def fixed_maps(size: int, count: int = MAPS, seed: int = SEED) -> F64:
    """T f64[count,2,3], crop px -> crop px, about the centre of crops of side `size`; the same in every call."""
    draw = np.random.default_rng(seed).uniform(-1, 1, (count, 4))
    angle, zoom = np.radians(ROTATE) * draw[:, 0], 1 + SCALE * draw[:, 1]
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    linear = np.stack([cos, -sin, sin, cos], axis=1).reshape(-1, 2, 2)
    centre = np.full(2, (size - 1) / 2)
    shift = centre - linear @ centre + TRANSLATE * size * draw[:, 2:]
    return np.concatenate([linear, shift[:, :, None]], axis=2)


def elt_residual(predictor: Predictor, crops: U8, maps: F64 | None = None, batch: int = 32) -> Residual:
    """The residual r of each crop.

    Args:
        predictor: answers for crops u8[B,S,S,3] RGB in crop px; called with `batch` crops at a time, for each map
            once more.
        crops: u8[N,S,S,3] RGB.
        maps: other maps T f64[M,2,3] than `fixed_maps`.
        batch: crops in one call.
    Errors: InputError for crops that are not square pictures, or no map.
    """
    if crops.ndim != 4 or crops.shape[1] != crops.shape[2] or crops.shape[3] != 3:
        raise InputError(f"crops have the shape {crops.shape}: give u8[N,S,S,3], as the model's crop rule makes them")
    size = crops.shape[1]
    maps = fixed_maps(size) if maps is None else maps
    if len(maps) == 0:
        raise InputError("no map to move the crops with: give at least one of shape [2,3]")
    parts = [_batch(predictor, crops[i : i + batch], maps) for i in range(0, len(crops), batch)]
    px = np.concatenate(parts) if parts else np.zeros(0)
    return Residual(px, px / size)


def of_constant(size: int, maps: F64 | None = None) -> float:
    """r, px, of a predictor that always answers with the four points halfway between centre and corners."""
    maps = fixed_maps(size) if maps is None else maps
    half = np.array([[x, y] for x in (0.25, 0.75) for y in (0.25, 0.75)]) * (size - 1)
    return float(np.mean([np.linalg.norm(transform(t, half) - half, axis=1).mean() for t in maps]))


def _batch(predictor: Predictor, crops: U8, maps: F64) -> F64:
    import cv2  # loading OpenCV takes 0.1 s, which `import lmdeploy` need not pay

    size = crops.shape[1]
    plain = np.asarray(predictor.run(crops).points, np.float64)
    gaps = np.full((len(maps), *plain.shape[:2]), np.nan)
    for gap, each in zip(gaps, maps, strict=True):
        moved = np.stack([cv2.warpAffine(crop, each, (size, size), flags=cv2.INTER_LINEAR) for crop in crops])
        wanted = transform(each, plain).astype(np.float64)
        inside = ((wanted >= -0.5) & (wanted <= size - 0.5)).all(axis=-1)
        apart = np.linalg.norm(predictor.run(moved).points - wanted, axis=-1)
        gap[inside] = apart[inside]
    counted = np.isfinite(gaps)
    total = np.where(counted, gaps, 0).sum(axis=(0, 2))
    number = counted.sum(axis=(0, 2))
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)
