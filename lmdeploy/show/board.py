"""What viewers look at: the newest picture of a stream, or the last pictures of a folder."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from lmdeploy.types import U8, Landmarks
from lmdeploy.video.frame import Frame

ROLL_BYTES = 128_000_000  # pixels of still images that are kept for paging
LONGEST_SIDE = 1920  # px: larger pictures are shrunk before they go to the screen
JPEG_QUALITY = 85
RATE_FRAMES = 60  # over which the rate is averaged

Draw = Callable[[U8, Sequence[Landmarks]], U8]
"""Draws faces into a picture u8[H,W,3] RGB, in place, and returns it."""


@dataclass(slots=True)
class Shown:
    """One frame on the board; `number` counts from 0. The JPEG is made once, for the first viewer who wants it."""

    number: int
    frame: Frame
    faces: tuple[Landmarks, ...]
    jpeg: bytes = b""
    lock: threading.Lock = field(default_factory=threading.Lock)


class Board:
    """Between the one thread that puts frames and the viewers' threads, which never hold it up.

    draw: what is drawn into a copy of each picture that somebody looks at.
    """

    def __init__(self, draw: Draw) -> None:
        """Start empty."""
        self._draw = draw
        self._kept: deque[Shown] = deque()
        self._times: deque[float] = deque(maxlen=RATE_FRAMES + 1)
        self._next, self.finished = 0, False
        self._changed = threading.Condition()

    def put(self, frame: Frame, faces: Sequence[Landmarks]) -> None:
        """Add a frame, whose pixels must not be changed any more; of a stream it replaces the one before."""
        shown = Shown(self._next, frame, tuple(faces))
        with self._changed:
            if frame.time_ms is not None:
                self._kept.clear()
            self._kept.append(shown)
            while len(self._kept) > 1 and sum(one.frame.image.nbytes for one in self._kept) > ROLL_BYTES:
                self._kept.popleft()
            self._next += 1
            self._times.append(monotonic())
            self._changed.notify_all()

    def finish(self) -> None:
        """No frame will follow: nobody waits any longer. A second call does nothing."""
        with self._changed:
            self.finished = True
            self._changed.notify_all()

    def wait(self, after: int, seconds: float) -> None:
        """Until there is a frame of a higher number, or none will come, at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._next - 1 > after or self.finished, seconds)

    def newest(self, after: int = -1) -> Shown | None:
        """The last frame, None when its number is not higher than `after`."""
        with self._changed:
            return self._kept[-1] if self._kept and self._kept[-1].number > after else None

    def at(self, number: int) -> Shown | None:
        """The frame of that number, None when it is not there (any more)."""
        with self._changed:
            return next((one for one in self._kept if one.number == number), None)

    def jpeg(self, shown: Shown) -> bytes:
        """The picture with its faces drawn, as a JPEG file."""
        with shown.lock:
            if not shown.jpeg:
                shown.jpeg = _jpeg(self._draw(shown.frame.image.copy(), shown.faces))
            return shown.jpeg

    def state(self, shown: Shown | None) -> dict[str, Any]:
        """What the page says about a frame, and about the board; for JSON."""
        with self._changed:
            rate = _rate(self._times)
            first = self._kept[0].number if self._kept else 0
            about: dict[str, Any] = {"first": first, "last": self._next - 1, "finished": self.finished, "rate": rate}
        return about if shown is None else about | _about_frame(shown)


def _about_frame(shown: Shown) -> dict[str, Any]:
    frame = shown.frame
    height, width = frame.image.shape[:2]
    return {
        "number": shown.number,
        "still": frame.time_ms is None,
        "name": frame.name,
        "frame": frame.index,
        "time_ms": frame.time_ms,
        "age_ms": None if frame.at is None else round(1e3 * (monotonic() - frame.at), 1),
        "size": [width, height],
        "faces": [_about_face(face) for face in shown.faces],
    }


def _about_face(face: Landmarks) -> dict[str, Any]:
    score = float(face.score.mean())
    about: dict[str, Any] = {"id": face.track if face.track >= 0 else None, "score": round(score, 3)}
    if face.pose is not None:
        about |= {"yaw": round(face.pose.yaw_deg, 1), "pitch": round(face.pose.pitch_deg, 1)}
        about |= {"roll": round(face.pose.roll_deg, 1)}
    return about


def _rate(times: Sequence[float]) -> float | None:
    """Frames per second over the last ones, None before there are two."""
    if len(times) < 2 or times[-1] <= times[0]:
        return None
    return round((len(times) - 1) / (times[-1] - times[0]), 1)


def _jpeg(picture: U8) -> bytes:
    import cv2

    shrink = LONGEST_SIDE / max(picture.shape[:2])
    if shrink < 1:
        height, width = (max(1, round(side * shrink)) for side in picture.shape[:2])
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]  # u8
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
