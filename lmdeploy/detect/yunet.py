"""Faces by YuNet (OpenCV's FaceDetectorYN) with a model file given by the user; none comes with the package.

The image is reduced to LONGER_SIDE, which bounds the cost whatever the camera delivers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lmdeploy.detect.base import bounded_size, pixel_block_to_box
from lmdeploy.errors import InputError
from lmdeploy.types import U8, Box

LONGER_SIDE = 480  # px
SHORTEST_SIDE = 64  # px; OpenCV 4.14 reads memory that it never wrote where a side is 32 px or less
SCORE_THRESHOLD = 0.6
NMS_THRESHOLD = 0.3


class YuNet:
    """Faces of any pose; holds the network, so use one object per thread."""

    name = "yunet"

    def __init__(self, model_path: str | Path) -> None:
        """Load an ONNX file of YuNet; InputError when OpenCV cannot run it as such."""
        import cv2

        path = Path(model_path)
        try:
            self._net = cv2.FaceDetectorYN.create(str(path), "", (LONGER_SIDE, LONGER_SIDE), SCORE_THRESHOLD)
            self._net.setNMSThreshold(NMS_THRESHOLD)
            self.detect(np.zeros((32, 32, 3), np.uint8))
        except cv2.error as error:
            raise InputError(f"{path}: OpenCV cannot run it as a YuNet face detector ({error.err})") from error

    def detect(self, image: U8) -> list[Box]:
        """Faces of image u8[H,W,3] RGB, image px, score in [0, 1]."""
        import cv2

        full = (image.shape[0], image.shape[1])
        small = bounded_size(full, LONGER_SIDE)
        pixels = image if small == full else cv2.resize(image, small[::-1], interpolation=cv2.INTER_AREA)
        low, right = (max(0, SHORTEST_SIDE - side) for side in small)
        padded = cv2.copyMakeBorder(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), 0, low, 0, right, cv2.BORDER_CONSTANT)
        self._net.setInputSize((small[1] + right, small[0] + low))
        _, rows = self._net.detect(padded)
        found = np.empty((0, 15)) if rows is None else np.asarray(rows, np.float64)
        found = found[np.argsort(-found[:, 14], kind="stable")]
        return [pixel_block_to_box(row[:4], small, full, float(row[14])) for row in found]
