"""Annotated video out. While it is written the file is a fragmented MP4, so that it plays after a kill, too.

It gets its final name with the first complete fragment (one second), and is turned into an ordinary MP4, index first,
when it is closed: players then know its length and can seek. Without PyAV OpenCV writes MPEG-4 part 2, and the file
gets its name when it is closed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from lmdeploy.errors import InputError
from lmdeploy.types import U8, Landmarks
from lmdeploy.video.frame import Frame
from lmdeploy.writers.base import unwritable

CLOCK = 90_000  # ticks per second of the output: fine enough for any frame rate
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
# No look-ahead and no B-frames: nothing is held back in memory, and a kill loses one second at most.
ENCODER = {"preset": "superfast", "tune": "zerolatency", "crf": "21", "sc_threshold": "0"}
CODECS = ("libx264", "h264", "mpeg4")
DEFAULT_RATE = 30.0


class Mp4Sink:
    """H.264 in MP4 with the times of the source; InputError when it cannot be written.

    Args:
        path: the file, replaced when it exists.
        rate: nominal frames per second of the source, 0 when unknown; also used for frames without a time.
    """

    drawn = True

    def __init__(self, path: Path, rate: float) -> None:
        """Nothing is written before the first frame, whose size becomes the video's."""
        self._path, self._rate = path, rate or DEFAULT_RATE
        self._draft = path.with_name(f".{path.name}.part.mp4")
        self._size = (0, 0)
        self._writer: _PyAVWriter | _OpenCVWriter | None = None

    def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None) -> None:
        """Add one picture; one of another size is fitted into the first one's with black borders."""
        assert picture is not None
        try:
            if self._writer is None:
                self._size = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2  # H.264 halves the colour planes
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._writer = _open_writer(self._draft, self._path, self._size, self._rate)
            time_s = frame.index / self._rate if frame.time_ms is None else frame.time_ms / 1e3
            self._writer.write(_fitted(picture, self._size), time_s)
        except OSError as error:
            raise unwritable(self._path, error) from error

    def close(self) -> None:
        """Finish the file; a second call does nothing."""
        writer, self._writer = self._writer, None
        if writer is not None:
            try:
                writer.close()
            except OSError as error:  # where FFmpeg could not even begin the file it says so only now
                raise unwritable(self._path, error) from error


def _open_writer(draft: Path, path: Path, size: tuple[int, int], rate: float) -> _PyAVWriter | _OpenCVWriter:
    try:
        import av
    except ImportError:
        return _OpenCVWriter(draft, path, size, rate)
    return _PyAVWriter(av, draft, path, size, rate)


class _PyAVWriter:
    def __init__(self, av: Any, draft: Path, path: Path, size: tuple[int, int], rate: float) -> None:
        self._av, self._draft, self._path = av, draft, path
        self._container = av.open(str(draft), "w", format="mp4", options=FRAGMENTED)
        codec = next(name for name in CODECS if name in av.codecs_available)
        fps = Fraction(rate).limit_denominator(1001)
        options = ENCODER if codec == "libx264" else {}
        self._video = self._container.add_stream(codec, rate=fps, options=options)
        self._video.height, self._video.width, self._video.pix_fmt = *size, "yuv420p"
        self._video.codec_context.time_base = Fraction(1, CLOCK)
        self._video.codec_context.gop_size = max(1, round(rate))
        self._video.codec_context.thread_count = 1  # the network needs the cores
        self._last, self._keys, self._published = -1, 0, False

    def write(self, picture: U8, time_s: float) -> None:
        import cv2

        planes = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420)  # a third of the time that FFmpeg's scaler takes
        frame = self._av.VideoFrame.from_ndarray(planes, format="yuv420p")
        self._last = max(round(time_s * CLOCK), self._last + 1)  # times in a file must grow
        frame.pts, frame.time_base = self._last, Fraction(1, CLOCK)
        self._mux(self._video.encode(frame))

    def close(self) -> None:
        self._mux(self._video.encode())
        self._container.close()
        source = self._path if self._published else self._draft
        finished = self._path.with_name(f".{self._path.name}.whole.mp4")
        _remux(self._av, source, finished)
        finished.replace(self._path)
        if not self._published:
            self._draft.unlink()

    def _mux(self, packets: Sequence[Any]) -> None:
        for packet in packets:
            self._keys += bool(packet.is_keyframe)
            self._container.mux(packet)
            if self._keys == 2 and not self._published and os.name != "nt":  # the first fragment is on the disk
                self._draft.replace(self._path)  # Windows does not rename open files; there it waits for the end
                self._published = True


class _OpenCVWriter:
    def __init__(self, draft: Path, path: Path, size: tuple[int, int], rate: float) -> None:
        import cv2

        self._draft, self._path = draft, path
        fourcc = cv2.VideoWriter.fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(str(draft), cv2.CAP_FFMPEG, fourcc, rate, (size[1], size[0]))
        if not self._writer.isOpened():
            raise InputError(f"{path} cannot be written: pip install 'landmark-deploy[video]' for H.264 output")

    def write(self, picture: U8, time_s: float) -> None:
        import cv2

        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        self._writer.release()
        self._draft.replace(self._path)


def _remux(av: Any, source: Path, target: Path) -> None:
    """The same pictures in an ordinary MP4 with its index in front."""
    with av.open(str(source)) as old, av.open(str(target), "w", options={"movflags": "faststart"}) as new:
        old_video = old.streams.video[0]
        new_video = new.add_stream_from_template(old_video)
        for packet in old.demux(old_video):
            if packet.dts is not None:
                packet.stream = new_video
                new.mux(packet)


def _fitted(picture: U8, size: tuple[int, int]) -> U8:
    """u8 of exactly `size` (height, width): a spare last row or column is cut, another size is fitted in."""
    import cv2

    height, width = size
    if 0 <= picture.shape[0] - height <= 1 and 0 <= picture.shape[1] - width <= 1:
        return np.ascontiguousarray(picture[:height, :width])
    scale = min(height / picture.shape[0], width / picture.shape[1])
    new_w, new_h = (max(1, int(side * scale)) for side in picture.shape[1::-1])
    fitted = np.zeros((height, width, 3), np.uint8)
    top, left = (height - new_h) // 2, (width - new_w) // 2
    small = cv2.resize(picture, (new_w, new_h), interpolation=cv2.INTER_AREA)
    fitted[top : top + new_h, left : left + new_w] = small
    return fitted
