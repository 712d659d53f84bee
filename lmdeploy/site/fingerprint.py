"""64-bit fingerprints of a landmarked object that survive re-encoding, light and cropping.

The square around the points' mean, 1.5 root-mean-square radii to each side (steadier than the tight box, which hangs
on the two outermost points), is reduced to 32x32 grey; bit k is the sign of the k-th lowest DCT coefficient.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from lmdeploy.geometry import CropRule, crop_image, crop_matrix
from lmdeploy.types import U8, Array, Box

U64 = npt.NDArray[np.uint64]
RADII = 1.5
SIDE, GRID = 64, 32
BITS = 64
SHIFTS, SCALES = (-0.025, 0.0, 0.025), (0.96, 1.0, 1.04)  # of the square's side


def fingerprint(image: U8, points: Array) -> int:
    """The 64 bits of image u8[H,W,3] RGB at points f[K,2], image px."""
    return _bits(image, _square(points))


def fingerprints_around(image: U8, points: Array) -> list[int]:
    """27 fingerprints of slightly moved and scaled squares, so that a predictor's jitter finds one of them."""
    return [_bits(image, square) for square in _moved(_square(points))]


def distances(one: int, many: U64) -> npt.NDArray[np.int64]:
    """Number of bits in which `one` differs from each of u64[N]."""
    different = np.bitwise_xor(many, np.uint64(one)).view(np.uint8).reshape(-1, 8)
    return np.asarray(np.unpackbits(different, axis=1).sum(axis=1), np.int64)


def _square(points: Array) -> Box:
    seen = np.asarray(points, np.float64)[np.isfinite(points).all(axis=1)]
    x, y = seen.mean(axis=0)
    radius = RADII * max(float(np.sqrt(((seen - (x, y)) ** 2).sum(axis=1).mean())), 4.0)
    return Box(x - radius, y - radius, x + radius, y + radius)


def _moved(square: Box) -> Iterator[Box]:
    x, y = square.center
    for dx, dy, scale in itertools.product(SHIFTS, SHIFTS, SCALES):
        cx, cy, half = x + dx * square.width, y + dy * square.width, scale * square.width / 2
        yield Box(cx - half, cy - half, cx + half, cy + half)


def _bits(image: U8, square: Box) -> int:
    import cv2  # loading OpenCV takes 0.1 s, which `import lmdeploy` need not pay

    crop = crop_image(image, crop_matrix(square, CropRule(scale=1.0, size=SIDE)), SIDE)
    grey = cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (GRID, GRID), interpolation=cv2.INTER_AREA)
    waves = cv2.dct(grey.astype(np.float32))
    order = sorted(itertools.product(range(12), repeat=2), key=lambda at: (at[0] + at[1], at[0]))[1 : BITS + 1]
    bits = np.array([waves[at] > 0 for at in order])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
