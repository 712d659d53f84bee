"""Faces that move and hide each other, and a network and a detector that see them as real ones do.

A crop shows the network whatever face is nearest to its middle and not covered; a half-covered face's points are drawn
towards the face in front of it or, where it `piles`, as a trained network was seen to do it, they pile up on its
visible side. So a crop that was cut for the one behind soon finds the one in front, and whoever only follows crops
mixes them up. Points are the corners of a square.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from lmdeploy.boxes import iou
from lmdeploy.geometry import landmark_box
from lmdeploy.landmarker import Landmarker
from lmdeploy.types import F64, U8, Box, Landmarks
from lmdeploy.video.track import Tracker

CORNERS = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
SEEN = 0.4  # share of a face that must be visible to be found
IMAGE = np.zeros((480, 960, 3), np.uint8)


@dataclass
class Face:
    """`at` gives the centre at a time, px, or None while the face is not there; later faces stand in front."""

    at: Callable[[float], tuple[float, float] | None]
    size: float = 80.0


@dataclass
class Scene:
    """Stands where a Landmarker does; the detector names the faces in front first where it goes `backwards`."""

    faces: Sequence[Face]
    noise: float = 0.005  # of the face's size
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    backwards: bool = False
    piles: bool = False
    painted: bool = False
    time_s: float = 0.0
    detections: int = 0
    crops: int = 0

    def true_boxes(self) -> dict[int, Box]:
        """Of the faces that are there."""
        places = {number: face.at(self.time_s) for number, face in enumerate(self.faces)}
        return {
            number: landmark_box(np.array(place) + self.faces[number].size * CORNERS)
            for number, place in places.items()
            if place is not None
        }

    def visible(self, number: int, boxes: dict[int, Box]) -> float:
        """Share of a face that none in front of it covers."""
        return 1 - max((_covered(boxes[number], boxes[n]) for n in boxes if n > number), default=0.0)

    def image(self) -> U8:
        """u8[480,960,3]: black, or where it is `painted` with the faces, which look rather alike."""
        image = IMAGE.copy()
        for number, box in self.true_boxes().items() if self.painted else ():
            x0, y0, x1, y1 = (round(edge) for edge in (box.x0, box.y0, box.x1, box.y1))
            face = np.asarray(
                cv2.resize(_pattern(number), (x1 - x0, y1 - y0), interpolation=cv2.INTER_CUBIC), np.uint8
            )
            low, high = np.clip([[x0, y0], [x1, y1]], 0, [960, 480])
            image[low[1] : high[1], low[0] : high[0]] = face[low[1] - y0 : high[1] - y0, low[0] - x0 : high[0] - x0]
        return image

    def detect(self, image: U8) -> list[Box]:
        """All faces that are visible enough."""
        self.detections += 1
        boxes = self.true_boxes()
        return [boxes[n] for n in sorted(boxes, reverse=self.backwards) if self.visible(n, boxes) > SEEN]

    def predict_batch(self, images: Sequence[U8], boxes: Sequence[Sequence[Box]]) -> list[list[Landmarks]]:
        """What the network says of each crop."""
        return [[self._look(box) for box in some] for some in boxes]

    def _look(self, crop: Box) -> Landmarks:
        self.crops += 1
        boxes = self.true_boxes()
        shares = {n: self.visible(n, boxes) for n in boxes}
        near = {n: _far(crop, boxes[n]) for n in boxes if shares[n] > SEEN and _far(crop, boxes[n]) < 0.8}
        if not near:
            return _face(_corners(crop), 0.2, crop)
        number = min(near, key=lambda n: near[n] + (1 - shares[n]))
        points = _corners(boxes[number])
        for n in boxes:
            if n > number and self.piles:
                points = _piled(points, boxes[n])
            elif n > number:
                points = points + 0.5 * _covered(boxes[number], boxes[n]) * (_corners(boxes[n]) - points)
        points = points + self.rng.normal(0, self.noise * self.faces[number].size, points.shape)
        return _face(points, 0.55 + 0.25 * shares[number], crop)

    def who(self, face: Landmarks) -> int:
        """The true face that this one stands on."""
        boxes = self.true_boxes()
        return max(boxes, key=lambda n: iou(boxes[n], landmark_box(face.points)) - 0.01 * (1 - self.visible(n, boxes)))


def watch(scene: Scene, tracker: Tracker, times: Sequence[float], timed: bool = True) -> list[dict[int, int]]:
    """For each time: track id -> the true face under it."""
    landmarker: Landmarker = scene  # type: ignore[assignment]  # it is asked for these two things only
    seen = []
    for time_s in times:
        scene.time_s = float(time_s)
        found = tracker.update(landmarker, scene.image(), float(time_s) if timed else None)
        seen.append({face.track: scene.who(face) for face in found})
    return seen


def pairs(seen: Sequence[dict[int, int]]) -> set[tuple[int, int]]:
    """Every (track id, true face) that ever was."""
    return {pair for some in seen for pair in some.items()}


def _pattern(number: int) -> U8:
    """Grey u8[6,6,3]; two of them correlate by about 0.7."""
    common, own = (np.random.default_rng(seed).standard_normal((6, 6, 1)) for seed in (99, number))
    grey = 128 + 30 * (0.85 * common + 0.53 * own)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8), 3, axis=2)


def _corners(box: Box) -> F64:
    return np.array([[box.x0, box.y0], [box.x1, box.y0], [box.x1, box.y1], [box.x0, box.y1]])


def _covered(box: Box, front: Box) -> float:
    width = min(box.x1, front.x1) - max(box.x0, front.x0)
    height = min(box.y1, front.y1) - max(box.y0, front.y0)
    return max(width, 0) * max(height, 0) / (box.width * box.height)


def _piled(points: F64, front: Box) -> F64:
    """Points behind the head in front, which is wider than its landmark box, go to the nearer edge of that head."""
    (x, y), (u, v) = front.center, points.mean(axis=0)
    half = np.array([0.6 * front.width, 0.6 * front.height])
    sides = np.sign([u - x, v - y])
    edge = np.array([x, y]) + sides * half
    covered = (np.abs(points - [x, y]) < half).all(axis=1)
    axis = int(np.argmax(np.abs(np.array([u - x, v - y]) / half)))  # it looks out on this side
    moved = points.copy()
    moved[covered, axis] = edge[axis]
    return moved


def _far(crop: Box, box: Box) -> float:
    """Between the centres, in sizes of the crop."""
    (x, y), (u, v) = crop.center, box.center
    return float(np.hypot(x - u, y - v)) / crop.width


def _face(points: F64, score: float, crop: Box) -> Landmarks:
    sure = np.full(len(points), score, np.float32)
    return Landmarks(points.astype(np.float32), points.astype(np.float32), sure, sure, crop)
