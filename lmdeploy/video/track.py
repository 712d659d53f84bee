"""Boxes by tracking: the box of the last landmarks is where the next frame is cropped; the detector is the fallback.

The detector runs on the first frame, when no face is left, and every `detect_every` frames while there is room. A face
is lost when the mean score of its points falls below `min_score`, or when its landmark box degenerates, leaves the
frame, or jumps in size. When the frames change their size, or the source was interrupted, everybody is new.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lmdeploy.errors import InputError
from lmdeploy.geometry import landmark_box
from lmdeploy.landmarker import Landmarker
from lmdeploy.types import U8, Box, Landmarks
from lmdeploy.video.lockstep import DETECT, Steps, together

SAME_FACE = 0.3  # IoU of landmark boxes above which two boxes are one face
MIN_SCORE = 0.4  # measured with a heatmap model of 68 points: faces 0.68 to 0.83, background 0.10 to 0.42, noise 0.25
MIN_SIDE_PX = 8.0
MIN_INSIDE = 0.5  # share of the box that must lie in the frame
MAX_JUMP = 2.0  # the longer side may at most double or halve from one frame to the next
SLACK = 0.02  # of the longer side: points jitter less in a crop that does not follow their own noise
MEMORY = 30  # frames for which a lost face keeps its id


@dataclass(slots=True)
class _Track:
    """A face that is followed, or was seen `missed` frames ago; `box` is where it is cropped next."""

    id: int
    box: Box
    missed: int = 0


class Tracker:
    """Follows faces through a stream; one per stream, used from one thread.

    Args:
        max_faces: how many faces are followed at once.
        detect_every: with fewer than `max_faces` followed, the detector also runs every that many frames, to find
            those that join; 0 = only when no face is followed.
        min_score: mean score (of `Landmarks.score`) under which a face counts as lost.
    """

    def __init__(self, *, max_faces: int = 1, detect_every: int = 30, min_score: float = MIN_SCORE) -> None:
        """Start without faces."""
        if max_faces < 1 or detect_every < 0:
            raise InputError(f"max_faces must be >= 1 and detect_every >= 0, got {max_faces} and {detect_every}")
        self._max_faces, self._detect_every, self._min_score = max_faces, detect_every, min_score
        self._tracks: list[_Track] = []
        self._next_id = 0
        self._since_detection = 0
        self._scene: tuple[int, ...] = ()

    def update(self, landmarker: Landmarker, image: U8) -> list[Landmarks]:
        """Faces of the next frame u8[H,W,3] RGB, each with its stable `track` id, oldest first."""
        return together(landmarker, [self.steps(image)], [image])[0]

    def steps(self, image: U8, part: int = 0) -> Steps:
        """As `update`, but it is the caller who runs the network, for several sources at once: lockstep.together.

        part: Frame.part; when it changes the faces of before are forgotten.
        """
        self._look_at(image, part)
        found = yield from self._follow(image, [track for track in self._tracks if track.missed == 0])
        self._since_detection += 1
        due = len(found) < self._max_faces and 0 < self._detect_every <= self._since_detection
        if due or not found:
            found += yield from self._search(image, found)
        kept = _without_doubles(sorted(found, key=lambda face: face.track))[: self._max_faces]
        self._remember(kept)
        return kept

    def _look_at(self, image: U8, part: int) -> None:
        """Forget everybody where boxes of the last frame mean nothing in this one; no id is given twice."""
        scene = (*image.shape, part)
        if scene != self._scene:
            self._tracks = []
        self._scene = scene

    def _follow(self, image: U8, tracks: Sequence[_Track]) -> Generator[Any, Any, list[Landmarks]]:
        """The faces of the last frame, where they still are."""
        faces = yield [track.box for track in tracks]
        pairs = zip(tracks, faces, strict=True)
        return [replace(face, track=track.id) for track, face in pairs if self._good(face, track.box, image)]

    def _search(self, image: U8, found: Sequence[Landmarks]) -> Generator[Any, Any, list[Landmarks]]:
        """Faces that the detector sees and that are not followed yet."""
        detected = yield DETECT
        if detected is None:  # it is another source's turn
            return []
        self._since_detection = 0
        followed = [landmark_box(face.points) for face in found]
        boxes = [box for box in detected if all(iou(box, other) < SAME_FACE for other in followed)]
        first = yield boxes[: self._max_faces - len(found)]
        rough = [landmark_box(face.points) for face in first if self._good(face, face.box, image)]
        # A second look from the landmarks' own box: the first frame is then cropped as all the others will be.
        again = yield rough
        second = [face for face in again if self._good(face, face.box, image)]
        taken = {face.track for face in found}
        return [replace(face, track=self._identify(face.box, taken)) for face in second]

    def _good(self, face: Landmarks, before: Box, image: U8) -> bool:
        """The face is still one: score, size, place."""
        if not (np.isfinite(face.points).all() and float(face.score.mean()) >= self._min_score):
            return False
        box = landmark_box(face.points)
        side, last = max(box.width, box.height), max(before.width, before.height)
        degenerate = min(box.width, box.height) < MIN_SIDE_PX or not 1 / MAX_JUMP < side / last < MAX_JUMP
        return not degenerate and _inside(box, image) >= MIN_INSIDE

    def _identify(self, box: Box, taken: set[int]) -> int:
        """Id of the face last seen at this place, else a new one."""
        free = [track for track in self._tracks if track.id not in taken]
        best = max(free, key=lambda track: iou(track.box, box), default=None)
        if best is not None and iou(best.box, box) >= SAME_FACE:
            taken.add(best.id)
            return best.id
        self._next_id += 1
        return self._next_id - 1

    def _remember(self, faces: Sequence[Landmarks]) -> None:
        seen = {face.track for face in faces}
        lost = [track for track in self._tracks if track.id not in seen and track.missed < MEMORY]
        for track in lost:
            track.missed += 1
        self._tracks = [*(_Track(face.track, _next_box(face)) for face in faces), *lost]


def _next_box(face: Landmarks) -> Box:
    """Where the next frame is cropped: the landmark box, which drags the present crop's box along on a slack rope."""
    now, new = face.box, landmark_box(face.points)
    steps = (new.x0 - now.x0, new.y0 - now.y0, new.x1 - now.x1, new.y1 - now.y1)
    rope, drift = SLACK * max(new.width, new.height), max(map(abs, steps))
    pull = 1.0 - rope / drift if drift > rope else 0.0
    x0, y0, x1, y1 = (pull * step for step in steps)
    return Box(now.x0 + x0, now.y0 + y0, now.x1 + x1, now.y1 + y1)


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return float(common / (a.width * a.height + b.width * b.height - common))


def _without_doubles(faces: Sequence[Landmarks]) -> list[Landmarks]:
    """Two tracks that have met on one face become the older one."""
    kept: list[Landmarks] = []
    for face in faces:
        box = landmark_box(face.points)
        if all(iou(box, landmark_box(other.points)) < 2 * SAME_FACE for other in kept):
            kept.append(face)
    return kept


def _inside(box: Box, image: U8) -> float:
    """Share of the box's area that lies in the image."""
    height, width = image.shape[:2]
    inner_w = min(box.x1, width - 0.5) - max(box.x0, -0.5)
    inner_h = min(box.y1, height - 0.5) - max(box.y0, -0.5)
    return float(max(inner_w, 0.0) * max(inner_h, 0.0) / (box.width * box.height))
