"""Where a head looks: yaw, pitch and roll from its landmarks, by the generic head of face_points.py.

The camera's frame: x to the image's right, y down, z away from the camera. A head that looks straight into the camera
has no rotation. With the turns by the angles a about y, b about x and c about z,

    R = R_y(-yaw) R_x(-pitch) R_z(roll)

    yaw > 0     the nose points to the image's right, which is the person's left
    pitch > 0   the nose points up
    roll > 0    the top of the head leans to the image's right (clockwise in the picture)

so the direction of the nose, R (0, 0, -1), depends on yaw and pitch alone, and roll turns about it. A mirrored image
has yaw and roll of the other sign and the same pitch.

Landmarks with noise of 1 % of the distance of the outer eye corners give, simulated with all schemas, median errors of
0.7 degrees in yaw and pitch and 0.4 in roll, 95th percentiles of 2.4, 2.6 and 1.5; how much a head that is not the
generic one adds stands in face_points.py. Which pitch is zero is a convention: portraits have a median of -3 degrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import asin, atan2, degrees

import numpy as np

from lmdeploy.errors import InputError
from lmdeploy.face_points import HEAD_MM, LANDMARKS
from lmdeploy.schema import LandmarkSchema
from lmdeploy.types import F64, Array, HeadPose, Landmarks

MIN_POINTS = 5
AXIS_MM = 60.0


def assumed_camera(image_hw: tuple[int, int]) -> F64:
    """Camera matrix f64[3,3] of an unknown camera: focal length = image width (53 degrees wide), centre = middle.

    Where the true focal length is 0.7 to 1.5 times as long, yaw is off by 1 degree for a head in the middle of the
    image and by up to 6 for one a quarter of the width beside it; translation_mm's z is off by the same factor.
    """
    height, width = image_hw
    return np.array([[width, 0.0, (width - 1) / 2], [0.0, width, (height - 1) / 2], [0.0, 0.0, 1.0]])


def check_head_pose(schema: LandmarkSchema) -> None:
    """InputError for landmarks that are not a face's, or of a schema whose points are not known in 3-D."""
    if schema.name not in LANDMARKS:
        raise InputError(
            f"no head pose from landmarks of schema {schema.name}: it is known for {', '.join(sorted(LANDMARKS))}"
        )


def head_pose(
    face: Landmarks, image_hw: tuple[int, int], schema: LandmarkSchema, *, camera: Array | None = None
) -> HeadPose:
    """Yaw, pitch, roll and place of a head; the module says which way is positive.

        face = landmarker.predict(image)[0]
        print(head_pose(face, image.shape[:2], landmarker.spec.landmarks).yaw_deg)

    Least squares of the distances in the image (SQPnP, then Levenberg-Marquardt) between the landmarks and the
    projected head.

    Args:
        face: its `points` count, those that are not finite do not.
        image_hw: height and width of the image, px.
        schema: whose landmarks these are.
        camera: matrix f64[3,3] of a calibrated camera without distortion, px; None takes `assumed_camera`.
    Errors: InputError for a schema without 3-D points, fewer than 5 known landmarks, or points that are no head.
    """
    check_head_pose(schema)
    if len(face.points) != schema.points:
        raise InputError(f"the schema {schema.name} has {schema.points} points but the face has {len(face.points)}")
    matrix = assumed_camera(image_hw) if camera is None else np.asarray(camera, np.float64)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise InputError(f"camera must be a finite matrix of 3 x 3, got {list(matrix.shape)}")
    known = {index: name for index, name in LANDMARKS[schema.name].items() if np.isfinite(face.points[index]).all()}
    if len(known) < MIN_POINTS:
        raise InputError(f"head pose needs {MIN_POINTS} of the landmarks {sorted(LANDMARKS[schema.name])}")
    head = np.array([HEAD_MM[name] for name in known.values()])
    return _solve(head, face.points[list(known)].astype(np.float64), matrix)


def with_pose(faces: Sequence[Landmarks], image_hw: tuple[int, int], schema: LandmarkSchema) -> list[Landmarks]:
    """The same faces with their `pose`, seen by the assumed camera; points that are no head keep None."""
    posed = []
    for face in faces:
        try:
            posed.append(replace(face, pose=head_pose(face, image_hw, schema)))
        except InputError:  # a network's answer on what is no face, say
            posed.append(face)
    return posed


def angles_deg(rotation: Array) -> tuple[float, float, float]:
    """(yaw, pitch, roll), degrees, of a rotation f64[3,3] from the head's to the camera's frame.

    Pitch is within +-90; at exactly +-90, which no seen face has, yaw and roll are not unique.

    >>> angles_deg(np.eye(3))
    (0.0, 0.0, 0.0)
    """
    nose = -np.asarray(rotation)[:, 2]
    yaw, pitch = atan2(nose[0], -nose[2]), asin(min(max(-nose[1], -1.0), 1.0))
    # Row y of R is cos(pitch) (sin(roll), cos(roll), tan(pitch)).
    roll = atan2(rotation[1, 0], rotation[1, 1])
    return degrees(yaw) + 0.0, degrees(pitch) + 0.0, degrees(roll) + 0.0


def _solve(head_mm: F64, points: F64, camera: F64) -> HeadPose:
    """The pose that fits head_mm f64[N,3] to points f64[N,2], image px, best, of those in which the face is seen."""
    import cv2

    found: list[tuple[float, F64, F64]] = []
    try:
        _, turns, shifts, _ = cv2.solvePnPGeneric(head_mm, points, camera, None, flags=cv2.SOLVEPNP_SQPNP)
        for turn, shift in zip(turns, shifts, strict=True):
            best, moved = cv2.solvePnPRefineLM(head_mm, points, camera, None, turn, shift)
            error = float(np.sqrt(np.square(_project(head_mm, best, moved, camera) - points).sum(axis=1).mean()))
            rotation, place = np.asarray(cv2.Rodrigues(best)[0], np.float64), np.asarray(moved, np.float64).ravel()
            seen = place[2] > 0 and float(rotation[:, 2] @ place) > 0  # the nose points towards the camera
            if np.isfinite(error) and seen:
                found.append((error, rotation, place))
    except cv2.error as refusal:
        raise InputError(f"these points have no head pose ({refusal.err})") from refusal
    if not found:
        raise InputError("these points have no head pose: they do not look like a head seen from the front or side")
    error, rotation, place = min(found, key=lambda one: one[0])
    ends = np.array([[0.0, 0.0, 0.0], [AXIS_MM, 0.0, 0.0], [0.0, AXIS_MM, 0.0], [0.0, 0.0, -AXIS_MM]])
    axes = _project(ends + HEAD_MM["nasion"], cv2.Rodrigues(rotation)[0], place, camera)
    yaw, pitch, roll = angles_deg(rotation)
    return HeadPose(yaw, pitch, roll, rotation, place, error, axes.astype(np.float32))


def _project(head_mm: F64, turn: Array, shift: Array, camera: F64) -> F64:
    import cv2

    return np.asarray(cv2.projectPoints(head_mm, turn, shift, camera, None)[0], np.float64).reshape(-1, 2)
