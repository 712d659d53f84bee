"""A head turned and photographed, from the words of the definitions alone: vectors and similar triangles."""

from __future__ import annotations

import math

import numpy as np


def head_axes(yaw_deg: float, pitch_deg: float, roll_deg: float) -> np.ndarray:
    """f64[3,3]: columns are the head's right, down and inward directions in the camera's frame.

    The nose is turned by yaw to the image's right and by pitch upwards, as azimuth and elevation; then the head leans
    clockwise about the nose by roll.
    """
    yaw, pitch, roll = (math.radians(a) for a in (yaw_deg, pitch_deg, roll_deg))
    nose = np.array([math.sin(yaw) * math.cos(pitch), -math.sin(pitch), -math.cos(yaw) * math.cos(pitch)])
    level = np.array([math.cos(yaw), 0.0, math.sin(yaw)])
    down = np.cross(-nose, level)
    right = math.cos(roll) * level + math.sin(roll) * down
    below = math.cos(roll) * down - math.sin(roll) * level
    return np.column_stack([right, below, -nose])


def photograph(head_mm: np.ndarray, axes: np.ndarray, place_mm: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """f64[N,2], image px, of points f64[N,3] in the head's frame."""
    pixels = []
    for x, y, z in head_mm:
        seen = place_mm + x * axes[:, 0] + y * axes[:, 1] + z * axes[:, 2]
        pixels.append(
            [camera[0, 0] * seen[0] / seen[2] + camera[0, 2], camera[1, 1] * seen[1] / seen[2] + camera[1, 2]]
        )
    return np.array(pixels)
