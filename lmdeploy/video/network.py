"""RTSP and other network streams through PyAV, with the stream's own times."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import partial
from time import monotonic
from typing import Any

from lmdeploy.types import U8
from lmdeploy.video.connect import CONNECT_S, STALL_S, Picture, cannot_open
from lmdeploy.video.file import upright

OVER_TCP = {"rtsp_transport": "tcp"}  # a packet lost on the way over UDP is a picture damaged
END_S = 1.0  # a stream that knows its length and stops within this of it has ended, and was not lost
WAITING = 64  # packets whose pictures may be outstanding: decoders hold back a few where pictures refer to later ones


class PyAVConnection:
    """A network stream; packets that are damaged are passed over.

    `Picture.at` is when the picture's packet was read, before decoding; what it waited before, in the camera or on
    the way, is not known. What a stream sends while its format is found out, a second at most, is read at once after
    that, and only the newest picture is used.
    """

    def __init__(self, address: str, av: Any) -> None:
        """Connect; InputError when there is nothing within a few seconds."""
        self.finished, self.reason = False, "no more pictures"
        self._av = av
        options = OVER_TCP if address.startswith("rtsp") else {}
        try:
            self._container = av.open(address, options=options, timeout=(CONNECT_S, STALL_S))
        except (av.FFmpegError, OSError) as error:
            raise cannot_open(address, f" ({_words(error)})") from error
        if not self._container.streams.video:
            self._container.close()
            raise cannot_open(address, " (it has no pictures)")
        self._video = self._container.streams.video[0]
        self._video.codec_context.thread_count = 1  # each further one holds pictures back and takes a core
        self.rate = float(self._video.average_rate or 0)
        self._to_rgb = av.video.reformatter.VideoReformatter()
        self._last_s = 0.0
        self._pictures = self._decoded()

    def read(self) -> Picture | None:
        """The next picture; None when the stream has ended, was lost or stands still for 5 s."""
        return next(self._pictures, None)

    def close(self) -> None:
        """Disconnect; a second call does nothing."""
        self._pictures.close()
        self._container.close()

    def _decoded(self) -> Generator[Picture, None, None]:
        arrivals: dict[int | None, float] = {}
        for packet in self._packets():
            if len(arrivals) > WAITING:
                arrivals.clear()
            at = arrivals[packet.pts] = monotonic()
            try:
                pictures = packet.decode()
            except self._av.FFmpegError as error:
                self.reason = f"damaged packets ({_words(error)})"
                continue
            for picture in pictures:
                self._last_s = self._last_s if picture.time is None else float(picture.time)
                came = arrivals.pop(picture.pts, at)
                yield Picture(came, picture.time, partial(self._rgb, picture))

    def _packets(self) -> Iterator[Any]:
        feed = self._container.demux(self._video)
        while True:
            try:
                packet = next(feed, None)
            except (self._av.FFmpegError, OSError) as error:
                self.reason = _words(error)
                return
            if packet is None:
                self.finished = self._at_end()
                return
            yield packet

    def _at_end(self) -> bool:
        length = self._container.duration
        return length is not None and length > 0 and self._last_s >= length / self._av.time_base - END_S

    def _rgb(self, picture: Any) -> U8:
        image = self._to_rgb.reformat(picture, format="rgb24").to_ndarray()
        return upright(image, getattr(picture, "rotation", 0))


def _words(error: Exception) -> str:
    if type(error).__name__ == "ExitError":  # PyAV's name for its own time limit
        return "nothing came in time"
    return str(getattr(error, "strerror", None) or error)
