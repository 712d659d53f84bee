"""A generic head as a few rigid points in mm, and which landmarks of each schema they are.

Approximate: distances are near the averages of adults (outer eye corners 90 mm apart, inner ones 36, mouth 54, nasion
to chin 118), depths are estimates of our own. Fitted to 1,207 labelled portraits the points lie 4.3 % of the distance
of the outer eye corners from the labels (median over faces of the root mean square), for people differ, and mouths and
chins move. Simulated, a head that is a tenth wider, longer or narrower, or a fifth deeper or flatter, has its yaw off
by up to 5 degrees at a yaw of 30, its pitch by up to 2. Brows, jaw lines and lower lips are left out: they move most,
or are no fixed places of the head.

The head's frame is the camera's frame of a face that looks straight into it: x to the image's right, y down, z away
from the camera, so that the nose tip has the smallest z. Origin: midway between the outer eye corners.
"""

from __future__ import annotations

HEAD_MM: dict[str, tuple[float, float, float]] = {
    "eye_left_outer": (-45.0, 0.0, 0.0),
    "eye_left_inner": (-18.0, 1.0, -7.0),
    "eye_right_inner": (18.0, 1.0, -7.0),
    "eye_right_outer": (45.0, 0.0, 0.0),
    "eye_left": (-31.5, 0.5, -5.0),
    "eye_right": (31.5, 0.5, -5.0),
    "nasion": (0.0, -5.0, -21.0),
    "nose_tip": (0.0, 33.0, -45.0),
    "nose_left": (-15.0, 43.0, -25.0),
    "nose_right": (15.0, 43.0, -25.0),
    "subnasale": (0.0, 47.0, -31.0),
    "mouth_left": (-27.0, 68.0, -12.0),
    "mouth_right": (27.0, 68.0, -12.0),
    "lip_top": (0.0, 61.0, -30.0),
    "chin": (0.0, 113.0, -14.0),
}

_IBUG = {
    36: "eye_left_outer", 39: "eye_left_inner", 42: "eye_right_inner", 45: "eye_right_outer", 27: "nasion",
    30: "nose_tip", 31: "nose_left", 33: "subnasale", 35: "nose_right", 48: "mouth_left", 51: "lip_top",
    54: "mouth_right",
}  # fmt: skip

LANDMARKS: dict[str, dict[int, str]] = {
    "ibug68": {**_IBUG, 8: "chin"},
    "ibug49": {index - 17: name for index, name in _IBUG.items()},
    "wflw98": {
        60: "eye_left_outer", 64: "eye_left_inner", 68: "eye_right_inner", 72: "eye_right_outer", 51: "nasion",
        54: "nose_tip", 55: "nose_left", 57: "subnasale", 59: "nose_right", 76: "mouth_left", 79: "lip_top",
        82: "mouth_right", 16: "chin",
    },
    "aflw19": {
        6: "eye_left_outer", 8: "eye_left_inner", 9: "eye_right_inner", 11: "eye_right_outer", 12: "nose_left",
        13: "nose_tip", 14: "nose_right", 15: "mouth_left", 17: "mouth_right", 18: "chin",
    },
    "cofw29": {
        8: "eye_left_outer", 10: "eye_left_inner", 11: "eye_right_inner", 9: "eye_right_outer", 18: "nose_left",
        20: "nose_tip", 19: "nose_right", 21: "subnasale", 22: "mouth_left", 24: "lip_top", 23: "mouth_right",
        28: "chin",
    },
    "face5": {0: "eye_left", 1: "eye_right", 2: "nose_tip", 3: "mouth_left", 4: "mouth_right"},
}  # fmt: skip
"""Schema -> index of the landmark -> point of HEAD_MM; left and right are the image's."""
