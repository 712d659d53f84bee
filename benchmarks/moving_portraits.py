"""Pictures in which the motion of faces is known: the public-domain portrait that matplotlib installs, moved.

The truth is the model's own points on the still portrait, moved: so it says how steady and how late the points are,
and who is who, not how right the model is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from lmdeploy.demo import portrait_path
from lmdeploy.geometry import transform
from lmdeploy.images import read_image
from lmdeploy.types import F32, F64, U8

HEIGHT, WIDTH = 360, 640  # px
SIZE = 90.0  # px of the face, the root of its landmark box's area
WALL = (96, 104, 112)
Way = Callable[[float], tuple[float, float]]
"""Time, s -> where the face's middle is, in face sizes from the middle of the picture."""


@dataclass(frozen=True, slots=True)
class Portrait:
    """One person: image u8[H,W,3] RGB, points f32[K,2] in it, px, and the face's size and middle there, px."""

    image: U8
    points: F32
    size: float
    middle: tuple[float, float]

    def matrix(self, place: tuple[float, float], scale: float = 1.0) -> F64:
        """Affine f64[2,3] from portrait px to picture px, the face's middle at `place` (face sizes)."""
        zoom = scale * SIZE / self.size
        x, y = WIDTH / 2 + SIZE * place[0], HEIGHT / 2 + SIZE * place[1]
        return np.array([[zoom, 0.0, x - zoom * self.middle[0]], [0.0, zoom, y - zoom * self.middle[1]]])

    def truth(self, place: tuple[float, float]) -> F32:
        """Points f32[K,2] of the picture with the face at `place`, px."""
        return transform(self.matrix(place), self.points)

    def mirrored(self) -> Portrait:
        """Somebody else: turned round, in other colours. The points are not in the schema's order."""
        image = np.ascontiguousarray(self.image[:, ::-1, ::-1])
        points = self.points * [-1, 1] + [image.shape[1] - 1, 0]
        return Portrait(
            image, points.astype(np.float32), self.size, (image.shape[1] - 1 - self.middle[0], self.middle[1])
        )


def read_portrait() -> U8:
    """The portrait, u8[H,W,3] RGB, half as large: about as fine as the pictures made of it."""
    whole = read_image(portrait_path())
    return np.asarray(cv2.resize(whole, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA), np.uint8)


def picture(portrait: Portrait, place: tuple[float, float], noise: float, rng: np.random.Generator) -> U8:
    """u8[H,W,3] RGB: the portrait at a place, with a camera's noise of that many grey levels."""
    size = (WIDTH, HEIGHT)
    frame = cv2.warpAffine(portrait.image, portrait.matrix(place), size, flags=cv2.INTER_LINEAR, borderValue=WALL)
    return noisy(np.asarray(frame, np.uint8), noise, rng)


def pair(people: tuple[Portrait, Portrait], places: tuple[tuple[float, float], tuple[float, float]]) -> U8:
    """u8[H,W,3] RGB: two heads on a wall, cut out as ovals; the second stands in front."""
    frame = np.full((HEIGHT, WIDTH, 3), WALL, np.uint8)
    for one, place in zip(people, places, strict=True):
        matrix = one.matrix(place)
        head = cv2.warpAffine(one.image, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderValue=WALL)
        x, y = WIDTH / 2 + SIZE * place[0], HEIGHT / 2 + SIZE * (place[1] - 0.15)
        oval = np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.ellipse(oval, ((x, y), (1.45 * SIZE, 1.9 * SIZE), 0.0), 255, -1, cv2.LINE_AA)
        weight = oval[..., None] / 255.0
        frame = (weight * head + (1 - weight) * frame).astype(np.uint8)
    return frame


def noisy(frame: U8, noise: float, rng: np.random.Generator) -> U8:
    """The same with normal noise of that many grey levels."""
    if noise == 0:
        return frame
    return np.clip(frame + noise * rng.standard_normal(frame.shape, np.float32), 0, 255).astype(np.uint8)
