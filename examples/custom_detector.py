"""A detector of your own: here the face nearest to the camera alone, whoever stands behind.

python examples/custom_detector.py photo.jpg
"""

import sys

import numpy as np
import numpy.typing as npt

from lmdeploy import Box, Landmarker, open_detector, read_image


class Nearest:
    """The largest box of Haar's. Any object with `detect` is a detector; no base class is needed."""

    name = "haar"  # these are Haar's boxes, so the model's box map for haar fits them

    def __init__(self) -> None:
        """Open what finds the boxes."""
        self._haar = open_detector("haar")

    def detect(self, image: npt.NDArray[np.uint8]) -> list[Box]:
        """Boxes in image u8[H,W,3] RGB, image px; an empty list where there is no face."""
        return sorted(self._haar.detect(image), key=lambda box: box.width * box.height)[-1:]


def main(source: str = "photo.jpg") -> None:
    """Print the centre of the nearest face."""
    with Landmarker.load(detector=Nearest()) as landmarker:
        for face in landmarker.predict(read_image(source)):
            print("centre of the nearest face:", face.points.mean(axis=0), "px")


if __name__ == "__main__":
    main(*sys.argv[1:])
