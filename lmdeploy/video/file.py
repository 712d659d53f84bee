"""Video files, read with PyAV where it is installed and with OpenCV otherwise.

Presentation times are kept as they are, so that files of a variable frame rate stay right. A damaged file gives the
frames that can be read; what is missing stands in `problems`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lmdeploy.errors import InputError
from lmdeploy.types import U8
from lmdeploy.video.ahead import Ahead
from lmdeploy.video.frame import Frame, Source

MISSING = 0.02  # share of the promised frames that may be absent: containers are often off by a frame or two
PATIENCE_S = 10.0  # with a web server that does not answer
DECODER_THREADS = 1  # each further one holds more frames in memory and takes a core from the network


def open_video(path: Path, address: str = "") -> Source:
    """The frames of a video file, read ahead; InputError when it holds no video that can be read.

    address: where it is read from when that is not the path, which then only names it.
    """
    if not address and path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty")
    try:
        import av
    except ImportError:
        return Ahead(OpenCVVideo(path, address))
    return Ahead(PyAVVideo(path, av, address))


class PyAVVideo:
    """A video file through PyAV."""

    stream = True

    def __init__(self, path: Path, av: Any, address: str = "") -> None:
        """Open the first video stream."""
        self.problems: list[str] = []
        self._path, self._av = path, av
        try:
            self._container = av.open(address or str(path), timeout=PATIENCE_S if address else None)
        except (av.FFmpegError, OSError) as error:
            raise _not_a_video(path, error) from error
        if not self._container.streams.video:
            self._container.close()
            raise InputError(f"{path}: the file has no video stream")
        self._video = self._container.streams.video[0]
        self._video.codec_context.thread_count = DECODER_THREADS
        self._to_rgb = av.video.reformatter.VideoReformatter()  # one for all frames: making it costs 1 ms at 720p
        self.rate = float(self._video.average_rate or 0)

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order of presentation."""
        index = 0
        for picture in self._pictures():
            rgb = self._to_rgb.reformat(picture, format="rgb24").to_ndarray()
            image = upright(rgb, getattr(picture, "rotation", 0))
            time = picture.time if picture.time is not None else index / (self.rate or 30.0)
            yield Frame(image, index, 1000.0 * float(time), frame_name(self._path, index))
            index += 1
        if index == 0 and not self.problems:
            self.problems.append(f"{self._path}: no frame could be decoded")

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._container.close()

    def _pictures(self) -> Iterator[Any]:
        """Decoded pictures; a damaged packet is skipped, and the damage told once at the end."""
        damage, packets, promised = "", 0, self._video.frames
        feed = self._container.demux(self._video)
        while True:
            try:
                packet = next(feed, None)  # after an error of the container itself the feed has ended
                if packet is None:
                    break
                packets += packet.size > 0
                yield from packet.decode()
            except self._av.FFmpegError as error:
                damage = str(error.strerror or error)
        if damage:
            self.problems.append(f"{self._path}: parts of the video are damaged ({damage}); the rest was read")
        elif packets < promised * (1 - MISSING) - 1:
            self.problems.append(_too_short(self._path, packets, promised))


class OpenCVVideo:
    """A video file through OpenCV, for installations without the `video` extra."""

    stream = True

    def __init__(self, path: Path, address: str = "") -> None:
        """Open the file."""
        import cv2

        self.problems: list[str] = []
        self._path = path
        self._capture = cv2.VideoCapture(address or str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise _not_a_video(path, None)
        self.rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self._promised = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order."""
        import cv2

        index = 0
        while True:
            good, image = self._capture.read()
            if not good:
                break
            time = float(self._capture.get(cv2.CAP_PROP_POS_MSEC))
            rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
            yield Frame(rgb, index, time, frame_name(self._path, index))
            index += 1
        if index < self._promised * (1 - MISSING) - 1:
            self.problems.append(
                f"{self._path}: the video ends after {index} of {self._promised} frames; copy it again"
            )

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._capture.release()


def frame_name(path: Path, index: int) -> str:
    """File name of one frame of a video, e.g. clip_000012.jpg."""
    return f"{path.stem}_{index:06d}.jpg"


def upright(image: U8, rotation: int) -> U8:
    """The picture as a player shows it: telephones store it turned by `rotation` degrees (counter-clockwise)."""
    turns = round(rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _too_short(path: Path, read: int, promised: int) -> str:
    return f"{path}: the video ends after {read} of {promised} frames; copy it again"


def _not_a_video(path: Path, error: Exception | None) -> InputError:
    reason = getattr(error, "strerror", None) or "unknown format"
    return InputError(f"{path}: not a video or image that can be read ({reason}); copy it again or convert it")
