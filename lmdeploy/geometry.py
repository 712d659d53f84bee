"""Boxes, crops and affine maps under THE pixel-centre convention.

An integer coordinate is a pixel centre; the first pixel's centre is (0, 0), so an image of width W spans
[-0.5, W - 0.5]. Resizing by s maps x' = (x + 0.5) s - 0.5. Every matrix here is f64[2,3] and acts on column
points (x, y, 1). Whatever moves points goes through this file (NumPy) or its torch twin in training/augment.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from lmdeploy.errors import InputError
from lmdeploy.types import F32, F64, U8, Array, Box


class CropRule(BaseModel):
    """How a landmark box becomes a square network input.

    kind: `square` keeps the aspect (side = scale x longer side), `stretch` does not (STLD's own rule).
    scale: enlargement of the landmark box. size: side of the crop, px.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["square", "stretch"] = "square"
    scale: float = Field(default=1.25, gt=0)
    size: int = Field(default=128, ge=32, le=1024)


class BoxMap(BaseModel):
    """A detector's box -> the landmark box, fitted on labelled images.

    centre' = centre + (dx * w, dy * h); size' = (sw * w, sh * h).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dx: float = 0.0
    dy: float = 0.0
    sw: float = Field(default=1.0, gt=0)
    sh: float = Field(default=1.0, gt=0)

    def apply(self, box: Box) -> Box:
        """Landmark box (image px) that this detector box stands for."""
        x, y = box.center
        x, y = x + self.dx * box.width, y + self.dy * box.height
        w, h = self.sw * box.width, self.sh * box.height
        return Box(x - w / 2, y - h / 2, x + w / 2, y + h / 2, box.score)


def fit_box_map(detected: list[Box], wanted: list[Box]) -> BoxMap:
    """Median map from detector boxes to landmark boxes of the same images (at least one pair)."""
    if not detected or len(detected) != len(wanted):
        raise InputError("fit_box_map needs the same number of detected and wanted boxes, at least one")
    d = np.array([(*b.center, b.width, b.height) for b in detected])
    t = np.array([(*b.center, b.width, b.height) for b in wanted])
    dx, dy = np.median((t[:, :2] - d[:, :2]) / d[:, 2:], axis=0)
    sw, sh = np.median(t[:, 2:] / d[:, 2:], axis=0)
    return BoxMap(dx=float(dx), dy=float(dy), sw=float(sw), sh=float(sh))


def landmark_box(points: Array) -> Box:
    """Tight box of points [K,2] (image px); NaN points do not count. Error when none is left."""
    seen = points[np.isfinite(points).all(axis=1)]
    if len(seen) == 0:
        raise InputError("no annotated point: a landmark box needs at least one")
    (x0, y0), (x1, y1) = seen.min(axis=0), seen.max(axis=0)
    return Box(float(x0), float(y0), float(x1), float(y1))


def whole_image_box(height: int, width: int) -> Box:
    """The box whose edges are the image's edges, image px."""
    return Box(-0.5, -0.5, width - 0.5, height - 0.5)


def crop_matrix(box: Box, rule: CropRule, angle: float = 0.0) -> F64:
    """Affine f64[2,3] from image px to crop px; `angle` (radians) turns the content about the box centre."""
    w, h = box.width * rule.scale, box.height * rule.scale
    if rule.kind == "square":
        w = h = max(w, h)
    if not (np.isfinite([w, h, box.x0, box.y0]).all() and w > 0 and h > 0):
        raise InputError(f"box {box} has no area: give a box with x1 > x0 and y1 > y0")
    c, s = np.cos(angle), np.sin(angle)
    linear = np.array([[rule.size / w, 0.0], [0.0, rule.size / h]]) @ np.array([[c, -s], [s, c]])
    centre = np.array(box.center)
    shift = (rule.size - 1) / 2 - linear @ centre
    return np.column_stack([linear, shift])


def resize_matrix(from_hw: tuple[int, int], to_hw: tuple[int, int]) -> F64:
    """Affine f64[2,3] of a plain resize: x' = (x + 0.5) s - 0.5 on each axis."""
    sy, sx = to_hw[0] / from_hw[0], to_hw[1] / from_hw[1]
    return np.array([[sx, 0.0, 0.5 * sx - 0.5], [0.0, sy, 0.5 * sy - 0.5]])


def transform(matrix: F64, points: Array) -> F32:
    """Apply an affine [2,3] to points [...,2]; returns f32 of the same shape in the target frame's px."""
    moved: F64 = np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return moved.astype(np.float32)


def invert(matrix: F64) -> F64:
    """The affine [2,3] that undoes `matrix`."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def compose(outer: F64, inner: F64) -> F64:
    """The affine [2,3] of `inner` first, `outer` second."""
    return np.column_stack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def scale_of(matrix: F64) -> float:
    """Target px per source px: the square root of the area ratio."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def block_side(matrix: F64) -> int:
    """Side in px of the blocks that `crop_image` averages first: source px per target px rounded down, at least 1."""
    return max(1, int(1.0 / max(scale_of(matrix), 1e-9)))


def crop_image(image: U8, matrix: F64, size: int, out: U8 | None = None) -> U8:
    """Cut a crop u8[size,size,3] out of image u8[H,W,3]; outside the image is black.

    Where the crop shrinks the image to less than half, the source is averaged over whole-pixel blocks first,
    so that large faces do not alias; the map of points stays exactly `matrix`. A contiguous `out` of the crop's
    shape is written in place and returned, which spares the allocation.
    """
    import cv2  # loading OpenCV takes 0.1 s, which `import lmdeploy` need not pay

    factor = block_side(matrix)
    if factor >= 2:
        image, matrix = _shrunk_region(image, matrix, size, factor)
    crop = cv2.warpAffine(image, matrix, (size, size), dst=out, flags=cv2.INTER_LINEAR)
    return np.asarray(crop, np.uint8)


def _shrunk_region(image: U8, matrix: F64, size: int, factor: int) -> tuple[U8, F64]:
    """The part of `image` that the crop sees, averaged over factor x factor blocks, and its own matrix."""
    import cv2

    edge = np.array([[-1.0, -1.0], [size, -1.0], [-1.0, size], [size, size]])
    corners = transform(invert(matrix), edge)
    height, width = image.shape[:2]
    low = np.floor(np.clip(corners.min(axis=0), 0, [width - 1, height - 1])).astype(int)
    high = np.ceil(np.clip(corners.max(axis=0), 0, [width - 1, height - 1])).astype(int) + 1
    part = image[low[1] : high[1], low[0] : high[0]]
    pad_h, pad_w = -part.shape[0] % factor, -part.shape[1] % factor
    if pad_h or pad_w:
        part = np.asarray(cv2.copyMakeBorder(part, 0, pad_h, 0, pad_w, cv2.BORDER_REPLICATE), np.uint8)
    small = cv2.resize(part, (part.shape[1] // factor, part.shape[0] // factor), interpolation=cv2.INTER_AREA)
    to_full = np.array([[factor, 0.0, low[0] + (factor - 1) / 2], [0.0, factor, low[1] + (factor - 1) / 2]])
    return np.asarray(small, np.uint8), compose(matrix, to_full)
