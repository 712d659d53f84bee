"""What Shapes and Blocks share: drawing at four times the size, labelled subsets, folders in the points-CSV layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from lmdeploy.atomic import write_file
from lmdeploy.types import F32, F64, U8, Array
from training.data.crops import labels_csv

SIDE = 60  # px
FINER = 4  # drawn at 4 x 60 px, then averaged over areas


@dataclass(frozen=True, slots=True)
class Drawn:
    """N images u8[N,60,60], landmarks f32[N,K,2] px, class indices i64[N], the attribute's name and classes."""

    images: U8
    points: F32
    classes: Array
    attribute: str
    count: int


def rotation(angle: float) -> F64:
    """The rotation f64[2,2] by `angle` radians."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def fill(outlines: list[F64]) -> U8:
    """White convex outlines f64[N,2] (px of the 60-px image, integers are pixel centres) on black: u8[60,60].

    A pixel of the finer picture is white where its centre lies inside; OpenCV's own filling paints the edge too.
    """
    canvas = np.zeros((SIDE * FINER, SIDE * FINER), np.uint8)
    for outline in outlines:
        _paint(canvas, (outline + 0.5) * FINER - 0.5)
    return np.asarray(cv2.resize(canvas, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def _paint(canvas: U8, outline: F64) -> None:
    """Set the pixels of canvas whose centre lies inside a convex outline f64[N,2], canvas px."""
    low = np.clip(np.ceil(outline.min(axis=0)), 0, len(canvas)).astype(int)
    high = np.clip(np.floor(outline.max(axis=0)) + 1, 0, len(canvas)).astype(int)
    x, y = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
    edges = np.roll(outline, -1, axis=0) - outline
    side = [dx * (y - py) - dy * (x - px) for (dx, dy), (px, py) in zip(edges, outline, strict=True)]
    inside = (np.min(side, axis=0) >= 0) | (np.max(side, axis=0) <= 0)  # the outline may run either way round
    canvas[low[1] : high[1], low[0] : high[0]][inside] = 255


def subset(classes: Array, count: int, seed: int) -> Array:
    """Rows i64[count] of a class-balanced subset (footnote 1), in order; with one seed a larger holds a smaller.

    classes: i64[N], class index of every image.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(classes))
    turn = np.empty(len(classes), np.int64)  # of an image: how many of its class stand before it
    for label in np.unique(classes):
        mine = order[classes[order] == label]
        turn[mine] = np.arange(len(mine))
    # round after round of one image of every class, the classes in another order in every round
    return np.sort(order[np.argsort(turn[order], kind="stable")][:count])


def write_folder(folder: Path, drawn: Drawn) -> Path:
    """A data folder with images/, landmarks.csv, boxes.csv (the whole image) and attributes.csv."""
    names = tuple(f"{i:05d}.png" for i in range(len(drawn.images)))
    for name, image in zip(names, drawn.images, strict=True):
        ok, encoded = cv2.imencode(".png", image)
        assert ok, "OpenCV encodes PNG"
        write_file(folder / "images" / name, encoded.tobytes())
    edge = SIDE - 0.5
    boxes = ["image,x0,y0,x1,y1", *(f"{name},-0.5,-0.5,{edge},{edge}" for name in names)]
    told = [f"image,{drawn.attribute}:{drawn.count}", *(f"{n},{c}" for n, c in zip(names, drawn.classes, strict=True))]
    write_file(folder / "boxes.csv", ("\n".join(boxes) + "\n").encode())
    write_file(folder / "attributes.csv", ("\n".join(told) + "\n").encode())
    write_file(folder / "landmarks.csv", labels_csv(names, drawn.points).encode())
    return folder
