"""Landmarks drawn into an image: skeleton lines, points, the box and the id of the track."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lmdeploy.geometry import landmark_box
from lmdeploy.schema import LandmarkSchema
from lmdeploy.types import U8, Array, Box, HeadPose, Landmarks

SHIFT = 4  # OpenCV draws in 1/16 px
LINE, POINT, DOUBTFUL, FRAME = (80, 220, 255), (255, 255, 255), (255, 140, 0), (150, 150, 150)  # RGB
AXES = ((230, 60, 60), (60, 200, 60), (70, 110, 255))  # RGB: the head's right (in a frontal image), down, forwards
MAX_THICKNESS = 12
REFERENCE = 150.0  # px: a face of this size gets lines 1 px wide


def draw_faces(image: U8, faces: Sequence[Landmarks], schema: LandmarkSchema, *, doubtful: float = 0.1) -> U8:
    """Draw faces into image u8[H,W,3] RGB, in place, and return it.

    Positions are exact to 1/16 px; points that are not finite are left out. A head whose pose is known has three axes
    of 60 mm: red to its right in a frontal image, green down, blue where its nose points.

    Args:
        image: contiguous; a copy of it where the picture itself is still needed.
        faces: their `points` (image px), scores, tracks and poses.
        schema: whose points these are; its skeleton gives the lines.
        doubtful: points whose score is below it are orange.
    """
    for face in faces:
        _draw_one(image, face, schema, doubtful)
    return image


def _draw_one(image: U8, face: Landmarks, schema: LandmarkSchema, doubtful: float) -> None:
    import cv2

    good = np.asarray(np.isfinite(face.points).all(axis=1))
    if not good.any():
        return
    box = landmark_box(face.points)
    unit = max(box.width, box.height) / REFERENCE
    thickness = min(max(1, round(unit)), MAX_THICKNESS)
    _draw_box(image, box, face.track, thickness)
    fixed = _fixed(np.where(good[:, None], face.points, 0.0))
    lines = [fixed[list(line)] for line in schema.skeleton if good[list(line)].all()]
    cv2.polylines(image, lines, isClosed=False, color=LINE, thickness=thickness, lineType=cv2.LINE_AA, shift=SHIFT)
    radius = round(min(max(1.0, 1.3 * unit), MAX_THICKNESS) * 2**SHIFT)
    for (x, y), score in zip(fixed[good].tolist(), face.score[good].tolist(), strict=True):
        color = POINT if score >= doubtful else DOUBTFUL
        cv2.circle(image, (x, y), radius, color, -1, cv2.LINE_AA, SHIFT)
    if face.pose is not None:
        _draw_axes(image, face.pose, 2 * thickness)


def _draw_axes(image: U8, pose: HeadPose, thickness: int) -> None:
    import cv2

    start, *ends = _fixed(pose.axes).tolist()
    for end, color in zip(ends, AXES, strict=True):
        cv2.line(image, start, end, color, thickness, cv2.LINE_AA, SHIFT)


def _draw_box(image: U8, box: Box, track: int, thickness: int) -> None:
    import cv2

    corners = _fixed(np.array([[box.x0, box.y0], [box.x1, box.y1]])).tolist()
    cv2.rectangle(image, corners[0], corners[1], FRAME, thickness, cv2.LINE_AA, SHIFT)
    if track >= 0:
        place = (round(max(box.x0, 0.0)), round(max(box.y0 - 6, 14.0)))
        cv2.putText(image, str(track), place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, FRAME, 1, cv2.LINE_AA)


def _fixed(points: Array) -> Array:
    """i32[N,2] in units of 1/16 px; far away points are pulled in, for OpenCV counts in 32 bits."""
    fixed: Array = np.round(np.clip(points, -20000, 20000) * 2**SHIFT).astype(np.int32)
    return fixed
