"""300-VW in its official layout: a short video of the given number with a .pts file for every frame."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from lmdeploy.types import U8, Array
from tests.odd_images import smooth_picture
from tests.unit.training.sets.fixture_pts import write_pts

FRAMES = 4


def picture(video: str, frame: int) -> U8:
    """u8[48,64,3] of a frame (1 is the first)."""
    return smooth_picture(48, 64, seed=100 * int(video) + frame)


def raw_points(video: str, frame: int) -> Array:
    """f64[68,2] as in the file, 1-based."""
    return np.random.default_rng(1000 * int(video) + frame).uniform([5, 5], [60, 44], (68, 2)).round(6)


def write_video(root: Path, video: str, frames: int = FRAMES, labels: int = FRAMES) -> Path:
    folder = root / video
    folder.mkdir(parents=True)
    with av.open(str(folder / "vid.avi"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)  # a codec without loss: the frames can be compared bit by bit
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        for frame in range(1, frames + 1):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(video, frame), format="rgb24")))
        container.mux(stream.encode())
    for frame in range(1, labels + 1):
        write_pts(folder / "annot" / f"{frame:06d}.pts", raw_points(video, frame))
    return folder
