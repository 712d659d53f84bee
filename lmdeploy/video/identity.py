"""Who is who among the faces of a frame: tracks and their motion against the faces that were found.

Several crops may have found one face, when faces pass each other; such sightings are one. Faces and tracks are joined
so that the distances to where each track is expected are the least together (assign); where several tracks could be
one face, what they look like counts, too (likeness). While two are near each other, the one that is covered goes on
as it went before (covered), and while one is hidden its neighbours are judged by where they were going before, too:
who stands in front must not take the other's id along.

What holds: with the built-in model, in 16 passings of two portraits at 0.8 to 2.5 face sizes a second, no id was mixed
up or given anew by looks in grey, in which the two are alike by 0.8; without looks 6 ids were mixed up. What does not:
people who look the same and hide each other by half for long may change their ids, and who is hidden for longer than
the tracker's memory comes back as somebody new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lmdeploy.boxes import iou
from lmdeploy.geometry import landmark_box
from lmdeploy.types import F32, F64, U8, Box, Landmarks
from lmdeploy.video.assign import assign
from lmdeploy.video.covered import Usual, learned, near, trust, usual
from lmdeploy.video.likeness import likeness, look
from lmdeploy.video.motion import COAST_S, Motion, distance

SAME_FACE = 0.45  # IoU of landmark boxes from which two sightings are one face
TOUCH = 0.05  # IoU from which one face may be taken for the other
REACH = 1.5  # face sizes from where it is expected within which a followed face is looked for
LOST_REACH, LOST_SPREAD, LOST_MOST = 0.6, 1.0, 1.5  # the same for a lost one, its growth in a second, and its end
STOPPED = 0.2  # face sizes by which a lost face's last place must fit better than where it was going
LOOKS = 1.5  # face sizes that a likeness less by 1 is worth
LOOK_S = 0.2  # s after which a face that is alone is looked at again
OWN = 0.1  # of score, by which another track's crop must have found a face better
HIDDEN = 0.15  # face sizes by which a hidden track must fit a face better than the one that is seen


@dataclass(slots=True)
class Track:
    """A face that is followed, or was.

    box: where it is cropped next, image px. seen_s: when it was seen last, s. usual, trust: see covered, of the last
    landmarks. lost: it was not in the last frame. look: see likeness, of look_s, s; None until somebody else is there.
    """

    id: int
    box: Box
    motion: Motion
    seen_s: float
    usual: Usual
    trust: float = 1.0
    lost: bool = False
    look: F32 | None = None
    look_s: float = 0.0

    @property
    def coasts(self) -> bool:
        """It is looked for where it was going, not where its last points were."""
        return self.lost or self.trust < 0.5


@dataclass(slots=True)
class Sighting:
    """One face of a frame and all crops that found it, each with the id of the track it was cut for."""

    box: Box
    found: list[tuple[int, Landmarks]] = field(default_factory=list)

    def by(self, track: int) -> Landmarks:
        """As the crop with the best score has it; that track's own is preferred, for its points are the steadiest."""
        return max(self.found, key=lambda one: float(one[1].score.mean()) + OWN * (one[0] == track))[1]


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
        same.box = landmark_box(same.by(same.found[0][0]).points)
    return different


def join(tracks: Sequence[Track], faces: Sequence[Sighting], time_s: float, image: U8) -> dict[int, Sighting]:
    """Track id -> the face that it is now; tracks that nobody fits are left out."""
    cost = np.full((len(tracks), len(faces)), np.inf)
    for row, track in enumerate(tracks):
        expected, reach = track.motion.at(time_s, image.shape[:2]), REACH
        if track.lost:
            reach = min(LOST_REACH + LOST_SPREAD * (time_s - track.seen_s), LOST_MOST)
        for column, face in enumerate(faces):
            d = distance(expected, face.box)
            if track.lost:  # it may have stopped, too
                d = min(d, STOPPED + distance(track.motion.box, face.box))
            if d < reach:
                cost[row, column] = d + HIDDEN * track.lost
    _compare(tracks, faces, cost, image)
    joined = {tracks[row].id: faces[column] for row, column in assign(cost, 10 * REACH)}
    return joined | _own(tracks, faces, joined)


def _compare(tracks: Sequence[Track], faces: Sequence[Sighting], cost: F64, image: U8) -> None:
    """Where several tracks may be one face, add to `cost` f64[T,N] how much less than the best each is like it."""
    for column, face in enumerate(faces):
        rows = np.flatnonzero(np.isfinite(cost[:, column]))
        looks = [one for one in (tracks[int(row)].look for row in rows) if one is not None]
        if len(rows) > 1 and len(looks) == len(rows):
            seen = look(image, face.box)
            alike = np.array([likeness(seen, one) for one in looks])
            cost[rows, column] += LOOKS * (alike.max() - alike)


def _own(tracks: Sequence[Track], faces: Sequence[Sighting], joined: dict[int, Sighting]) -> dict[int, Sighting]:
    """Faces that nobody was expected at, such as after a jerk of the camera: of the track whose crop found them."""
    waiting = {track.id for track in tracks if not track.lost and track.id not in joined}
    taken = [id(face) for face in joined.values()]
    free = [face for face in faces if id(face) not in taken]
    firsts = [(next((owner for owner, _ in face.found if owner in waiting), None), face) for face in free]
    return {owner: face for owner, face in reversed(firsts) if owner is not None}


def see(
    track: Track, face: Landmarks, next_box: Box, others: Sequence[tuple[Track, Box]], time_s: float, image: U8
) -> None:
    """Note where a track was seen.

    Args:
        track: changed in place.
        face: its face.
        next_box: where it is cropped next.
        others: the other tracks and the boxes at which they are, or are expected now.
        time_s: now.
        image: u8[H,W,3] RGB.
    """
    box, now = landmark_box(face.points), usual(face)
    beside = [(other, at) for other, at in others if near(box, at)]
    if track.lost and beside:  # what comes out from behind a head is a part at first, and grows
        track.usual = now
    track.trust = trust(track.usual, now) if beside else 1.0
    track.usual = learned(track.usual, now, time_s - track.seen_s, bool(beside))
    if others and (track.look is None or (not beside and time_s - track.look_s >= LOOK_S)):
        track.look, track.look_s = look(image, box), time_s
    if not any(other.lost and time_s - other.seen_s < COAST_S for other, at in beside if iou(box, at) > TOUCH):
        track.motion.add(box, time_s, learn=not beside, trust=track.trust)
    track.box, track.seen_s, track.lost = next_box, time_s, False
