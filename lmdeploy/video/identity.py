"""Who is who among the faces of a frame: tracks and their motion against the faces that were found.

Several crops may have found one face, when faces pass each other; such sightings are one. Faces and tracks are joined
so that the distances to where each track is expected are the least together (assign). While a track is hidden its
neighbours are judged by where they were going before, too: who stands in front must not take the other's id along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lmdeploy.boxes import iou
from lmdeploy.geometry import landmark_box
from lmdeploy.types import Box, Landmarks
from lmdeploy.video.assign import assign
from lmdeploy.video.motion import COAST_S, Motion, distance

SAME_FACE = 0.6  # IoU of landmark boxes from which two sightings are one face
TOUCH = 0.05  # IoU from which one face may spoil the other's landmarks
REACH = 1.5  # face sizes from where it is expected within which a followed face is looked for
LOST_REACH, LOST_SPREAD, LOST_MOST = 0.6, 1.0, 1.5  # the same for a lost one, its growth in a second, and its end
STOPPED = 0.2  # face sizes by which a lost face's last place must fit better than where it was going
HIDDEN = 0.15  # face sizes by which a hidden track must fit a face better than the one that is seen


@dataclass(slots=True)
class Track:
    """A face that is followed, or was.

    box: where it is cropped next, image px. seen_s: when it was seen last, s. lost: it was not in the last frame.
    """

    id: int
    box: Box
    motion: Motion
    seen_s: float
    lost: bool = False


@dataclass(slots=True)
class Sighting:
    """One face of a frame and all crops that found it, each with the id of the track it was cut for."""

    box: Box
    found: list[tuple[int, Landmarks]] = field(default_factory=list)

    def by(self, track: int) -> Landmarks:
        """As that track's own crop has it, else as the crop with the best score."""
        own = [face for owner, face in self.found if owner == track]
        return own[0] if own else max((face for _, face in self.found), key=lambda face: float(face.score.mean()))


def sightings(found: Sequence[tuple[int, Landmarks]]) -> list[Sighting]:
    """Faces without doubles, in the order of their first crop."""
    different: list[Sighting] = []
    for owner, face in found:
        box = landmark_box(face.points)
        same = max(different, key=lambda one: iou(one.box, box), default=None)
        if same is None or iou(same.box, box) < SAME_FACE:
            same = Sighting(box)
            different.append(same)
        same.found.append((owner, face))
    return different


def join(
    tracks: Sequence[Track], faces: Sequence[Sighting], time_s: float, image_hw: tuple[int, int]
) -> dict[int, Sighting]:
    """Track id -> the face that it is now; tracks that nobody fits are left out."""
    cost = np.full((len(tracks), len(faces)), np.inf)
    for row, track in enumerate(tracks):
        expected, reach = track.motion.at(time_s, image_hw), REACH
        if track.lost:
            reach = min(LOST_REACH + LOST_SPREAD * (time_s - track.seen_s), LOST_MOST)
        for column, face in enumerate(faces):
            d = distance(expected, face.box)
            if track.lost:  # it may have stopped, too
                d = min(d, STOPPED + distance(track.motion.box, face.box))
            if d < reach:
                cost[row, column] = d + HIDDEN * track.lost
    joined = {tracks[row].id: faces[column] for row, column in assign(cost, 10 * REACH)}
    return joined | _own(tracks, faces, joined)


def _own(tracks: Sequence[Track], faces: Sequence[Sighting], joined: dict[int, Sighting]) -> dict[int, Sighting]:
    """Faces that nobody was expected at, such as after a jerk of the camera: of the track whose crop found them."""
    waiting = {track.id for track in tracks if not track.lost and track.id not in joined}
    taken = [id(face) for face in joined.values()]
    free = [face for face in faces if id(face) not in taken]
    firsts = [(next((owner for owner, _ in face.found if owner in waiting), None), face) for face in free]
    return {owner: face for owner, face in reversed(firsts) if owner is not None}


def see(track: Track, face: Landmarks, next_box: Box, others: Sequence[tuple[Track, Box]], time_s: float) -> None:
    """Note where a track was seen.

    Args:
        track: changed in place.
        face: its face.
        next_box: where it is cropped next.
        others: the other tracks and the boxes at which they are, or are expected now.
        time_s: now.
    """
    box = landmark_box(face.points)
    near = [other for other, at in others if iou(box, at) > TOUCH]
    hidden = any(other.lost and time_s - other.seen_s < COAST_S for other in near)
    if not hidden:
        track.motion.add(box, time_s, learn=not near)
    track.box, track.seen_s, track.lost = next_box, time_s, False
