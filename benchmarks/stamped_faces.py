"""Pictures that say themselves where the face in them is, for the blob network: source and number in the corner.

So a result can be checked wherever it comes out: face and place must be those of the very picture that it stands with.
"""

from __future__ import annotations

from functools import lru_cache
from time import sleep

import numpy as np

from lmdeploy.geometry import landmark_box
from lmdeploy.types import F64, U8, Box
from tests.tiny_bundle import blob_image

SHAPE = np.array([[-20.0, -20.0], [20.0, -16.0], [-2.0, 25.0]])
PHASES = 24  # pictures of one round; the face goes round in a circle
SIZES = ((160, 160), (144, 200))  # height, width


def truth(source: int, number: int, height: int, width: int) -> F64:
    """f64[3,2], frame px: every source has its face at another place."""
    angle = 2 * np.pi * number / PHASES
    circle = 4 * np.array([np.cos(angle), np.sin(angle)])
    middle = np.array([width / 2, height / 2]) + 6 * np.array([source % 3 - 1, source // 3 % 3 - 1])
    return np.asarray(SHAPE + middle + circle, np.float64)


def stamped(source: int, number: int, size: tuple[int, int] = SIZES[0]) -> U8:
    """u8[H,W,3] BGR, as OpenCV reads it, with face and stamp."""
    image = _face(source, number % PHASES, size).copy()
    image[0, :5] = [[source], [number & 255], [number >> 8 & 255], [number >> 16 & 255], [1]]
    return image


def black(source: int, number: int, size: tuple[int, int] = SIZES[0]) -> U8:
    """A picture without a face, stamped as such."""
    image = np.zeros((*size, 3), np.uint8)
    image[0, :5] = [[source], [number & 255], [number >> 8 & 255], [number >> 16 & 255], [0]]
    return image


def stamp_of(image: U8) -> tuple[int, int, bool]:
    """Source, number, and whether there is a face."""
    source, low, middle, high, face = (int(value) for value in image[0, :5, 0])
    return source, low + (middle << 8) + (high << 16), bool(face)


class StampDetector:
    """Finds the face by the stamp; `asked` are the sources it was asked about, `pause_s` what it takes."""

    name = "stamp"

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self.asked: list[int] = []
        self.pause_s = 0.0

    def detect(self, image: U8) -> list[Box]:
        """The landmark box, or nothing in a black picture."""
        source, number, face = stamp_of(image)
        self.asked.append(source)
        sleep(self.pause_s)
        return [landmark_box(truth(source, number, *image.shape[:2]))] if face else []


@lru_cache(maxsize=256)
def _face(source: int, phase: int, size: tuple[int, int]) -> U8:
    rgb = blob_image(*size, truth(source, phase, *size), sigma=5.0)
    return np.ascontiguousarray(rgb[..., ::-1])
