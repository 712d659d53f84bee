"""What the networks look at while they are timed: what is in the picture changes no network's time."""

from __future__ import annotations

import numpy as np

from lmdeploy.types import U8, Box

FRAME_HW = (720, 1280)
FACE_PX = 260  # the landmark box's side: a person at a desk in a 720p picture
SEED = 0


def scene() -> tuple[U8, Box]:
    """A 720p frame u8[720,1280,3] of smooth noise, and a face-sized box in it, frame px."""
    import cv2

    rng = np.random.default_rng(SEED)
    small = rng.integers(0, 255, (45, 80, 3), np.uint8)
    frame = np.asarray(cv2.resize(small, FRAME_HW[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
    return frame, Box(500.0, 220.0, 500.0 + FACE_PX, 220.0 + FACE_PX)
