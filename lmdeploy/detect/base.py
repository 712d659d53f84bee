"""What every face or object detector offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from lmdeploy.geometry import resize_matrix
from lmdeploy.types import F64, U8, Box


class BoxFinder(Protocol):
    """What a detector of your own must be; see Landmarker.load(detector=...).

    A text attribute `name` is taken as the key of the bundle's box map; without it the boxes are landmark boxes.
    """

    def detect(self, image: U8, /) -> Sequence[Box]:
        """Boxes in image u8[H,W,3] RGB, image px (an integer is a pixel centre); empty when nothing is found.

        It is called by one thread at a time. The image is the caller's own: not to be written to.
        """
        ...


class Detector(Protocol):
    """Finds boxes in one image; safe to call from one thread at a time."""

    @property
    def name(self) -> str:
        """The key of its BoxMap in a bundle."""
        ...

    def detect(self, image: U8) -> list[Box]:
        """Boxes in image u8[H,W,3] RGB, best first, image px; empty when nothing is found."""
        ...


def bounded_size(image_hw: tuple[int, int], longer_side: int) -> tuple[int, int]:
    """(height, width) of an image reduced so that no side exceeds `longer_side`; never enlarged."""
    height, width = image_hw
    factor = min(1.0, longer_side / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def pixel_block_to_box(block: F64, small_hw: tuple[int, int], image_hw: tuple[int, int], score: float) -> Box:
    """OpenCV's (x, y, w, h) in a reduced image -> Box in image px.

    The block's edges are the outer edges of its pixels, x - 0.5 and x + w - 0.5 where an integer is a pixel centre.
    """
    x, y, w, h = (float(v) for v in block)
    matrix = resize_matrix(small_hw, image_hw)
    corners = np.array([[x - 0.5, y - 0.5], [x + w - 0.5, y + h - 0.5]])
    (x0, y0), (x1, y1) = (corners @ matrix[:, :2].T + matrix[:, 2]).tolist()
    return Box(x0, y0, x1, y1, score)
