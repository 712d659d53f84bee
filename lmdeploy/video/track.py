"""Boxes by tracking: the box of the last landmarks is where the next frame is cropped; the detector is the fallback.

The detector runs on the first frame, whenever no face is left, and while there is room: at once when a face is lost,
again after 1, 2, 4 ... frames, and every `detect_every` frames. A face is lost when the mean score of its points falls
below `min_score`, when its landmark box degenerates, leaves the frame or jumps in size, or when another track is on
the same face. For MEMORY_S a lost face is looked for where it was going, which costs a crop and no detection, and
keeps its id. So is a face that another one covers, while its points are not to be believed. When the frames change
their size, or the source was interrupted, everybody is new.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lmdeploy.boxes import iou
from lmdeploy.errors import InputError
from lmdeploy.geometry import landmark_box
from lmdeploy.landmarker import Landmarker
from lmdeploy.types import U8, Box, Landmarks
from lmdeploy.video.covered import DROPS, usual
from lmdeploy.video.identity import SAME_FACE, Sighting, Track, join, see, sightings
from lmdeploy.video.lockstep import DETECT, Steps, together
from lmdeploy.video.motion import Motion
from lmdeploy.video.timeline import step_s

FOLLOWED = 0.3  # IoU with a followed face above which a detection is that face
MIN_SCORE = 0.4  # measured with a heatmap model of 68 points: faces 0.68 to 0.83, background 0.10 to 0.42, noise 0.25
MORE_TO_RETURN = 0.1  # of score, for a lost face that no detector has seen: a crop of the background may reach 0.42
MIN_SIDE_PX = 8.0
MIN_INSIDE = 0.5  # share of the box that must lie in the frame
MAX_JUMP = 2.0  # the longer side may at most double or halve from one frame to the next
SETTLED = 0.5  # IoU of crop's box and landmarks' own under which a face is looked at again from where it was found
SLACK = 0.02  # of the longer side: points jitter less in a crop that does not follow their own noise
MEMORY_S = 2.0  # s for which a lost face keeps its id
RATE = 30.0  # frames per second of a source without times
NOBODY = -1


class Tracker:
    """Follows faces through a stream; one per stream, used from one thread.

    Args:
        max_faces: how many faces are followed at once. Where faces pass each other follow as many as there are: two
            tracks are told apart by motion and looks, but a track alone takes a stranger who steps in front of its
            face for it.
        detect_every: with fewer than `max_faces` followed, the detector also runs every that many frames, to find
            those that join; 0 = only when no face is followed.
        min_score: mean score (of `Landmarks.score`) under which a face counts as lost.
    """

    def __init__(self, *, max_faces: int = 1, detect_every: int = 30, min_score: float = MIN_SCORE) -> None:
        """Start without faces."""
        if max_faces < 1 or detect_every < 0:
            raise InputError(f"max_faces must be >= 1 and detect_every >= 0, got {max_faces} and {detect_every}")
        self._max_faces, self._detect_every, self._min_score = max_faces, detect_every, min_score
        self._tracks: list[Track] = []
        self._next_id = 0
        self._now_s, self._last_s = 0.0, 0.0  # our own clock, and what the last frame said
        self._since_detection, self._gap = 0, detect_every
        self._scene: tuple[int, ...] = ()

    def update(self, landmarker: Landmarker, image: U8, time_s: float | None = None) -> list[Landmarks]:
        """Faces of the next frame u8[H,W,3] RGB, each with its stable `track` id, oldest first."""
        return together(landmarker, [self.steps(image, time_s=time_s)], [image])[0]

    def steps(self, image: U8, part: int = 0, time_s: float | None = None) -> Steps:
        """As `update`, but it is the caller who runs the network, for several sources at once: lockstep.together.

        Args:
            image: u8[H,W,3] RGB.
            part: Frame.part; when it changes the faces of before are forgotten.
            time_s: when the frame was seen, s; None counts frames, RATE a second.
        """
        self._look_at(image, part, time_s)
        faces = yield from self._follow(image)
        self._note_losses(faces)
        self._since_detection += 1
        if not faces or (len(faces) < self._max_faces and 0 < self._gap <= self._since_detection):
            faces |= yield from self._search(image, faces)
        self._remember(faces, image)
        return [replace(face, track=track) for track, face in sorted(faces.items())]

    def _look_at(self, image: U8, part: int, time_s: float | None) -> None:
        """Set the clock; forget everybody where boxes of the last frame mean nothing in this one.

        No id is given twice.
        """
        scene = (*image.shape, part)
        if scene != self._scene:
            self._tracks = []
        self._scene = scene
        # a file that is played again begins at 0
        self._now_s += 1 / RATE if time_s is None else step_s(self._last_s, time_s)
        self._last_s = time_s or 0.0
        self._tracks = [t for t in self._tracks if not t.lost or self._now_s - t.seen_s <= MEMORY_S]

    def _follow(self, image: U8) -> Generator[Any, Any, dict[int, Landmarks]]:
        """The faces of the last frame where they still are, and those lost lately where they should be."""
        followed = [track for track in self._tracks if not track.lost]
        lost = sorted((track for track in self._tracks if track.lost), key=lambda track: -track.seen_s)
        tracks = [*followed, *lost[: self._max_faces - len(followed)]]
        boxes = [t.motion.at(self._now_s, image.shape[:2]) if t.coasts else t.box for t in tracks]
        answers = yield boxes
        least = {track.id: self._least(track) for track in tracks}
        found = self._faces({track.id: face for track, face in zip(tracks, answers, strict=True)}, least, image)
        own = {track: landmark_box(face.points) for track, face in found.items()}
        at_edge = [track for track, box in own.items() if iou(found[track].box, box) < SETTLED]
        if at_edge:
            again = yield [own[track] for track in at_edge]
            closer = self._faces(dict(zip(at_edge, again, strict=True)), least, image)
            found = {t: closer.get(t, face) for t, face in found.items() if t in closer or t not in at_edge}
        joined = join(tracks, sightings(list(found.items())), self._now_s, image)
        return {track: face.by(track) for track, face in joined.items()}

    def _faces(self, seen: dict[int, Landmarks], least: dict[int, float], image: U8) -> dict[int, Landmarks]:
        """Those of the tracks' crops that hold a face, by the mean score that each needs."""
        return {track: face for track, face in seen.items() if self._good(face, face.box, image, least[track])}

    def _least(self, track: Track) -> float:
        """Mean score of the track's face in its crop; one that others may hide must be as good as it was, not half."""
        if not track.lost:
            return self._min_score
        hidden = any(not other.lost for other in self._tracks)
        return max(self._min_score + MORE_TO_RETURN, track.usual[2] - DROPS if hidden else 0.0)

    def _note_losses(self, faces: dict[int, Landmarks]) -> None:
        """A loss lets the detector run at once, unless one did so lately: a face that flickers must not call it."""
        missing = [track for track in self._tracks if track.id not in faces]
        if self._gap == self._detect_every and not all(track.lost for track in missing):
            self._gap = min(1, self._detect_every)
        for track in missing:
            track.lost = True

    def _search(self, image: U8, faces: dict[int, Landmarks]) -> Generator[Any, Any, dict[int, Landmarks]]:
        """Faces that the detector sees and that are not followed yet."""
        detected = yield DETECT
        if detected is None:  # it is another source's turn
            return {}
        self._since_detection, self._gap = 0, min(2 * self._gap, self._detect_every)
        followed = [landmark_box(face.points) for face in faces.values()]
        boxes = [box for box in detected if all(iou(box, other) < FOLLOWED for other in followed)]
        first = yield boxes[: self._max_faces - len(faces)]
        rough = [landmark_box(face.points) for face in first if self._good(face, face.box, image)]
        # A second look from the landmarks' own box: the first frame is then cropped as all the others will be.
        again = yield rough
        second = sightings([(NOBODY, face) for face in again if self._good(face, face.box, image)])
        return self._identify([face for face in second if all(iou(face.box, b) < SAME_FACE for b in followed)], image)

    def _identify(self, news: Sequence[Sighting], image: U8) -> dict[int, Landmarks]:
        """Faces with the ids of lost ones that were expected there, else with new ids."""
        lost = [track for track in self._tracks if track.lost]
        joined = join(lost, news, self._now_s, image)
        known = [id(face) for face in joined.values()]
        for face in news:
            if id(face) not in known:
                joined[self._next_id] = face
                self._next_id += 1
        return {track: face.by(track) for track, face in joined.items()}

    def _good(self, face: Landmarks, before: Box, image: U8, min_score: float | None = None) -> bool:
        """The face is still one: score, size, place."""
        least = self._min_score if min_score is None else min_score
        if not (np.isfinite(face.points).all() and float(face.score.mean()) >= least):
            return False
        box = landmark_box(face.points)
        side, last = max(box.width, box.height), max(before.width, before.height)
        degenerate = min(box.width, box.height) < MIN_SIDE_PX or not 1 / MAX_JUMP < side / last < MAX_JUMP
        return not degenerate and _inside(box, image) >= MIN_INSIDE

    def _remember(self, faces: dict[int, Landmarks], image: U8) -> None:
        """Note where everybody is, or is expected."""
        now, boxes = self._now_s, {track: landmark_box(face.points) for track, face in faces.items()}
        tracks = {track.id: track for track in self._tracks}
        places = [(t, boxes.get(t.id) or t.motion.at(now, image.shape[:2])) for t in self._tracks]
        for number, face in faces.items():
            if number in tracks:
                others = [(track, box) for track, box in places if track.id != number]
                see(tracks[number], face, _next_box(face), others, now, image)
            else:
                self._tracks.append(Track(number, _next_box(face), Motion(boxes[number], now), now, usual(face)))


def _next_box(face: Landmarks) -> Box:
    """Where the next frame is cropped: the landmark box, which drags the present crop's box along on a slack rope."""
    now, new = face.box, landmark_box(face.points)
    steps = (new.x0 - now.x0, new.y0 - now.y0, new.x1 - now.x1, new.y1 - now.y1)
    rope, drift = SLACK * max(new.width, new.height), max(map(abs, steps))
    pull = 1.0 - rope / drift if drift > rope else 0.0
    x0, y0, x1, y1 = (pull * step for step in steps)
    return Box(now.x0 + x0, now.y0 + y0, now.x1 + x1, now.y1 + y1)


def _inside(box: Box, image: U8) -> float:
    """Share of the box's area that lies in the image."""
    height, width = image.shape[:2]
    inner_w = min(box.x1, width - 0.5) - max(box.x0, -0.5)
    inner_h = min(box.y1, height - 0.5) - max(box.y0, -0.5)
    return float(max(inner_w, 0.0) * max(inner_h, 0.0) / (box.width * box.height))
