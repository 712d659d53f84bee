"""Frozen values that cross every boundary of the runtime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-parallel box in image px; an integer is a pixel centre, (0, 0) the first pixel's.

    x0, y0 and x1, y1 are the outermost points of the thing boxed, so its width is x1 - x0.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    score: float = 1.0

    @property
    def width(self) -> float:
        """x1 - x0, px."""
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        """y1 - y0, px."""
        return self.y1 - self.y0

    @property
    def center(self) -> tuple[float, float]:
        """(x, y), px."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a network says of B crops.

    points: f32[B,K,2], crop px, (x, y). score: f32[B,K] in [0, 1]. spread: f32[B,K], crop px, NaN where the
    model has none. nnm: f32[B,K] (negative neighbourhood of the maximum, heatmap models) or None.
    """

    points: F32
    score: F32
    spread: F32
    nnm: F32 | None = None


@dataclass(frozen=True, slots=True)
class HeadPose:
    """How a head is turned and where it is; lmdeploy.pose says which way is positive.

    yaw_deg, pitch_deg, roll_deg: degrees. rotation: f64[3,3], the head's frame -> the camera's. translation_mm:
    f64[3], the midpoint between the outer eye corners in the camera's frame, for a head of average size. error_px:
    root mean square distance of the fitted head from the landmarks, image px. axes: f32[4,2], image px: the nasion,
    and from there 60 mm to the head's right in a frontal image, down, and forwards.
    """

    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    rotation: F64
    translation_mm: F64
    error_px: float
    axes: F32


@dataclass(frozen=True, slots=True)
class Landmarks:
    """One face or hand in one image.

    points: f32[K,2], image px, (x, y); smoothed on streams. points_raw: the same before smoothing.
    score: f32[K] in [0, 1]. spread: f32[K], image px. box: the landmark box that was cropped, image px.
    frame: index in the source. time_ms: position in the source, None for a still image. track: stable id of
    the object in a stream, -1 without tracking. digest: sha256 of the bundle. provider: what ran the network.
    pose: of the head, where it was asked for.
    """

    points: F32
    points_raw: F32
    score: F32
    spread: F32
    box: Box
    frame: int = 0
    time_ms: float | None = None
    track: int = -1
    digest: str = ""
    provider: str = ""
    pose: HeadPose | None = None

    def __repr__(self) -> str:
        """One line, for 68 points and their scores would fill a screen."""
        box = ", ".join(f"{edge:.1f}" for edge in (self.box.x0, self.box.y0, self.box.x1, self.box.y1))
        return (
            f"Landmarks({len(self.points)} points, mean score {self.score.mean():.2f}, box ({box}), "
            f"frame {self.frame}, track {self.track})"
        )
