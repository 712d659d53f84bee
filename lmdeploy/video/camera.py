"""Live sources: the consumer always gets the newest picture, however slow it is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any, Protocol

import numpy as np

from lmdeploy.errors import InputError
from lmdeploy.types import U8
from lmdeploy.video.frame import Frame


class Capture(Protocol):
    """The part of cv2.VideoCapture that is used."""

    def read(self) -> tuple[bool, Any]:
        """(True, BGR picture), or (False, anything) at the end."""
        ...

    def release(self) -> None:
        """Free the device."""
        ...


class Camera:
    """A camera by number, or a network stream by address, read in a thread that keeps the newest picture alone.

    Args:
        address: number of the camera, or an address such as rtsp://host/path.
        capture: an opened device instead, for tests and special hardware.
    Errors: InputError when it cannot be opened.
    """

    stream = True
    rate = 0.0

    def __init__(self, address: int | str, capture: Capture | None = None) -> None:
        """Open the device and start reading."""
        self.problems: list[str] = []
        self._name = f"camera{address}" if isinstance(address, int) else "stream"
        self._capture = capture or _open(address)
        self._newest: tuple[int, float, Any] | None = None
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name=self._name, daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Frame]:
        """The newest picture each time; `time_ms` counts from the first one's arrival."""
        import cv2

        first: float | None = None
        while (newest := self._take()) is not None:
            index, at, picture = newest
            first = at if first is None else first
            rgb: U8 = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
            yield Frame(rgb, index, 1000.0 * (at - first), f"{self._name}_{index:06d}.jpg")

    def close(self) -> None:
        """Stop the thread and free the device; a second call does nothing."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join(timeout=5.0)  # a network stream may sit in a read that cannot be interrupted

    def _take(self) -> tuple[int, float, Any] | None:
        with self._changed:
            while self._newest is None and not self._ended:
                self._changed.wait(timeout=0.5)  # so that Ctrl-C is seen on every system
            newest, self._newest = self._newest, None
            return newest

    def _read(self) -> None:
        index = 0
        while not self._ended:
            good, picture = self._capture.read()
            with self._changed:
                if not good:
                    if not self._ended:
                        self.problems.append(f"{self._name}: no more pictures after {index}; is it still connected?")
                    self._ended = True
                else:
                    self._newest = (index, monotonic(), picture)
                self._changed.notify_all()
            index += 1
        self._capture.release()


def _open(address: int | str) -> Capture:
    import cv2

    logging = cv2.utils.logging
    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)  # OpenCV's own lines about every backend it tried would hide ours
    try:
        capture = cv2.VideoCapture(address)
    finally:
        logging.setLogLevel(level)
    if not capture.isOpened():
        what = f"camera {address}" if isinstance(address, int) else address
        raise InputError(f"{what} cannot be opened: check that it is there, free and allowed, or try another number")
    return capture
