"""Frontal faces by the Haar cascade that comes with OpenCV 4 (OpenCV 5 dropped it).

The cost of a cascade grows with the image area and with the range of face sizes, so both are bounded: the image is
reduced to LONGER_SIDE, and faces below SMALLEST_FACE of its shorter side are not looked for (86 px in a 720p frame).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lmdeploy.detect.base import bounded_size, pixel_block_to_box
from lmdeploy.errors import InputError
from lmdeploy.types import U8, Box

CASCADE = "haarcascade_frontalface_alt2.xml"
LONGER_SIDE = 400  # px
SMALLEST_FACE = 0.12  # of the reduced image's shorter side
SMALLEST_WINDOW = 20  # px, what the cascade was trained on
SCALE_STEP = 1.1
NEIGHBOURS = 3  # overlapping hits that make a face; 4 misses 12 of the 165 faces of 300-W's Helen half, 3 misses 8


class Haar:
    """Upright frontal faces; holds the loaded cascade, so use one object per thread."""

    name = "haar"

    def __init__(self) -> None:
        """Load the cascade; InputError where this OpenCV has none."""
        import cv2

        folder = Path(cv2.data.haarcascades) if hasattr(cv2, "data") else Path()
        if not hasattr(cv2, "CascadeClassifier") or not (folder / CASCADE).is_file():
            raise InputError(
                f"OpenCV {cv2.__version__} comes without Haar cascades: install opencv-python-headless<5, or use "
                "the yunet detector with a model file"
            )
        self._cascade = cv2.CascadeClassifier(str(folder / CASCADE))

    def detect(self, image: U8) -> list[Box]:
        """Faces of image u8[H,W,3] RGB, image px; the score n / (n + NEIGHBOURS) grows with the n hits that agree."""
        import cv2

        full = (image.shape[0], image.shape[1])
        small = bounded_size(full, LONGER_SIDE)
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if small != full:
            grey = cv2.resize(grey, small[::-1], interpolation=cv2.INTER_AREA)
        smallest = max(SMALLEST_WINDOW, round(SMALLEST_FACE * min(small)))
        blocks, hits = self._cascade.detectMultiScale2(
            cv2.equalizeHist(grey), scaleFactor=SCALE_STEP, minNeighbors=NEIGHBOURS, minSize=(smallest, smallest)
        )
        order = sorted(range(len(blocks)), key=lambda i: -int(hits[i]))
        scores = [int(n) / (int(n) + NEIGHBOURS) for n in hits]
        return [pixel_block_to_box(np.asarray(blocks[i], np.float64), small, full, scores[i]) for i in order]
