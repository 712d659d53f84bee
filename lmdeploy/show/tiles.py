"""Several sources in one view: the newest picture of each, side by side in one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil, sqrt
from time import monotonic

import numpy as np

from lmdeploy.types import F32, F64, U8, Box, Landmarks
from lmdeploy.video.frame import Frame, Stoppable
from lmdeploy.writers.base import Sink

WIDTH = 1920  # px of the whole picture
SHAPE = 9 / 16  # height of a tile by its width
LABEL = (255, 255, 255)  # RGB


class Tiles:
    """Hands each frame on as a part of one picture, with the faces of all parts where they stand in it.

    Args:
        inner: what shows the picture; it gets one with every frame.
        places: the tile of each source, by Frame.source; from the upper left, row by row, counted from 0.
    """

    def __init__(self, inner: Sink, places: Mapping[str, int]) -> None:
        """Begin with black tiles."""
        tiles = max(places.values()) + 1
        self._columns = ceil(sqrt(tiles))
        self._width = WIDTH // self._columns
        self._height = round(SHAPE * self._width)
        rows = ceil(tiles / self._columns)
        self._whole = np.zeros((rows * self._height, self._columns * self._width, 3), np.uint8)
        self._faces: list[list[Landmarks]] = [[] for _ in range(tiles)]
        self._inner, self._places, self.drawn = inner, places, inner.drawn
        self._count, self._start = 0, monotonic()

    def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None) -> None:
        """Put a frame into its tile; picture: u8[H,W,3] RGB with its landmarks, where they are drawn."""
        tile = self._places[frame.source]
        row, column = divmod(tile, self._columns)
        corner = np.array([column * self._width, row * self._height])
        part = self._whole[corner[1] :, corner[0] :][: self._height, : self._width]
        scale, shift = _fill(part, frame.image if picture is None else picture)
        _label(part, frame.source)
        self._faces[tile] = [_moved(face, scale, shift + corner) for face in faces]
        time_ms = 1e3 * (monotonic() - self._start)
        whole = Frame(self._whole.copy(), self._count, time_ms, frame.name, frame.at, source=frame.source)
        self._count += 1
        everybody = [face for some in self._faces for face in some]
        self._inner.write(whole, everybody, None if picture is None else whole.image)

    def stop(self) -> None:
        """Wait for nobody any more; may be called from a signal handler."""
        if isinstance(self._inner, Stoppable):
            self._inner.stop()

    def close(self) -> None:
        """Close the inner one."""
        self._inner.close()


def _fill(part: U8, picture: U8) -> tuple[F64, F64]:
    """Fit a picture into part u8[h,w,3], in place; the scale and the shift, (x, y), from its px to the part's."""
    import cv2

    size = np.array(picture.shape[1::-1], np.float64)
    room = np.array(part.shape[1::-1], np.float64)
    fitted = np.maximum((size * (room / size).min()).astype(int), 1)
    left, top = ((room - fitted) // 2).astype(int).tolist()
    shrinks = bool(fitted[0] < size[0])
    kind = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    part[...] = 0
    part[top : top + fitted[1], left : left + fitted[0]] = cv2.resize(picture, fitted.tolist(), interpolation=kind)
    scale = fitted / size
    return scale, np.array([left, top]) + 0.5 * scale - 0.5  # an integer is a pixel's centre


def _label(part: U8, name: str) -> None:
    import cv2

    text = name.encode("ascii", "replace").decode()  # OpenCV's letters are ASCII's
    place = (8, part.shape[0] - 10)
    for color, thickness in (((0, 0, 0), 4), (LABEL, 1)):
        cv2.putText(part, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, color, thickness, cv2.LINE_AA)


def _moved(face: Landmarks, scale: F64, shift: F64) -> Landmarks:
    """The face in the whole picture's px."""

    def there(points: F32) -> F32:
        moved: F32 = (points * scale + shift).astype(np.float32)
        return moved

    (x0, y0), (x1, y1) = there(np.array([[face.box.x0, face.box.y0], [face.box.x1, face.box.y1]], np.float32)).tolist()
    pose = None if face.pose is None else replace(face.pose, axes=there(face.pose.axes))
    return replace(face, points=there(face.points), box=Box(x0, y0, x1, y1, face.box.score), pose=pose)
