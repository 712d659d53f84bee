"""What a result looks like when it is printed: one line, for people look at it first of all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lmdeploy.types import Box, Landmarks
from lmdeploy.video.frame import Frame
from lmdeploy.video.stream import Seen

FACE = Landmarks(
    points=np.zeros((68, 2), np.float32),
    points_raw=np.zeros((68, 2), np.float32),
    score=np.linspace(0, 1, 68, dtype=np.float32),
    spread=np.full(68, np.nan, np.float32),
    box=Box(1, 2.25, 31, 42, 0.5),
)
FRAME = Frame(np.zeros((4, 6, 3), np.uint8), 7, 233.3333, "clip_000007.jpg")


def test_a_face_and_a_frame_are_one_line() -> None:
    assert repr(FACE) == "Landmarks(68 points, mean score 0.50, box (1.0, 2.2, 31.0, 42.0), frame 0, track -1)"
    assert repr(replace(FACE, frame=3, track=2)).endswith("frame 3, track 2)")
    assert repr(FRAME) == "Frame('clip_000007.jpg', 6 x 4 px, index 7, 233.3 ms)"
    assert repr(replace(FRAME, time_ms=None)) == "Frame('clip_000007.jpg', 6 x 4 px, index 7)"
    assert "\n" not in repr(Seen(FRAME, [FACE]))
