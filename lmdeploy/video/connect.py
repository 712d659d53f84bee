"""A live source while it is connected: pictures with the moment they came. What happens when it breaks is retry.py's.

Cameras by number go through OpenCV (PyAV's builds have no V4L2), network streams through PyAV, which knows the
stream's own times; through OpenCV where PyAV is not installed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from lmdeploy.errors import InputError
from lmdeploy.types import U8

CONNECT_S = 5.0  # a wrong address is told within this time
STALL_S = 5.0  # without a picture for so long a connection counts as lost
UNUSABLE = 30  # pictures in a row that are none, until the device is opened anew


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a live source.

    at: when it came, s of time.monotonic(). time_s: by the source's own clock, or None. rgb: makes u8[H,W,3] RGB.
    """

    at: float
    time_s: float | None
    rgb: Callable[[], U8]


class Connection(Protocol):
    """A source while it is open; used by one thread."""

    rate: float
    """Nominal pictures per second, 0 where unknown."""
    finished: bool
    """After read() gave None: the source has come to its end, and was not lost."""
    reason: str
    """After read() gave None: why there are no more pictures."""

    def read(self) -> Picture | None:
        """Wait for the next picture; None when there are no more."""
        ...

    def close(self) -> None:
        """Free the device; a second call does nothing."""
        ...


class Capture(Protocol):
    """The part of cv2.VideoCapture that is used."""

    def read(self) -> tuple[bool, Any]:
        """(True, BGR picture), or (False, anything) at the end."""
        ...

    def release(self) -> None:
        """Free the device."""
        ...


class OpenCVConnection:
    """A cv2.VideoCapture, or anything that behaves like one."""

    rate = 0.0
    finished = False

    def __init__(self, capture: Capture) -> None:
        """Take over an opened device."""
        self.reason = "no more pictures"
        self._capture = capture

    def read(self) -> Picture | None:
        """The next picture that is one; grey and BGRA pictures are taken, too."""
        import cv2

        for _ in range(UNUSABLE):
            try:
                good, picture = self._capture.read()
            except (cv2.error, OSError) as error:
                self.reason = f"the device failed: {error}"
                return None
            if not good:
                return None
            at = monotonic()
            if _is_picture(picture):
                return Picture(at, None, partial(_rgb, picture))
        self.reason = f"{UNUSABLE} pictures in a row were damaged"
        return None

    def close(self) -> None:
        """Free the device."""
        self._capture.release()


def open_connection(address: int | str) -> Connection:
    """A camera by number or a stream by address; InputError, within seconds, when it cannot be opened."""
    if isinstance(address, str):
        try:
            import av
        except ImportError:
            return OpenCVConnection(_open_capture(address))
        from lmdeploy.video.network import PyAVConnection

        return PyAVConnection(address, av)
    return OpenCVConnection(_open_capture(address))


def shown(address: int | str) -> str:
    """An address for people: without the user's name and password."""
    if isinstance(address, int):
        return f"camera {address}"
    try:
        parts = urlsplit(address)
    except ValueError as error:  # and where its password ends nobody knows
        return f"{address.partition('://')[0]}://... ({error})"
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


def cannot_open(address: int | str, reason: str) -> InputError:
    """The error of a source that is not there."""
    hint = "or try another number" if isinstance(address, int) else "and that the address is right"
    return InputError(f"{shown(address)} cannot be opened{reason}: check that it is there, free and allowed, {hint}")


def _open_capture(address: int | str) -> Capture:
    import cv2

    with _SILENCE():
        if isinstance(address, int):
            capture = cv2.VideoCapture(address)
        else:
            limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(1e3 * CONNECT_S)]
            limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(1e3 * STALL_S)]
            capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)
    if not capture.isOpened():
        raise cannot_open(address, "")
    return capture


class _Silence:
    """OpenCV's own lines about every backend it tries would hide ours; several threads may open devices at once."""

    def __init__(self) -> None:
        self._lock, self._inside, self._level = threading.Lock(), 0, 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        import cv2

        logging = cv2.utils.logging
        with self._lock:
            if self._inside == 0:
                self._level = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    logging.setLogLevel(self._level)


_SILENCE = _Silence()


def _is_picture(picture: Any) -> bool:
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.size == 0:
        return False
    return picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] in (1, 3, 4))


def _rgb(picture: U8) -> U8:
    """u8[H,W,3] RGB of what OpenCV reads: BGR, BGRA or grey."""
    import cv2

    channels = 1 if picture.ndim == 2 else picture.shape[2]
    codes = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}
    return np.asarray(cv2.cvtColor(picture, codes[channels]), np.uint8)
