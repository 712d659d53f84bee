"""Crops of real images by the model's own rule, plain or jittered as training jitters them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lmdeploy.boxes import Boxed
from lmdeploy.dataset import read_unlabelled
from lmdeploy.errors import InputError
from lmdeploy.geometry import CropRule, crop_image, crop_matrix, whole_image_box
from lmdeploy.images import read_image
from lmdeploy.types import F64, U8, Box

CENTRE, SCALE = 0.1, 0.15  # largest shift, of the box's side; largest change of its size, in log
LIMIT = 200


def boxed_images(folder: Path, limit: int = LIMIT) -> Boxed:
    """The first images of a folder with their box: its boxes.csv where there is one, else the whole image."""
    samples = tuple(read_unlabelled(folder)[:limit])
    if not samples:
        raise InputError(f"{folder}: no images to compare on")
    boxes = tuple(sample.box or whole_image_box(*read_image(sample.path).shape[:2]) for sample in samples)
    return Boxed(samples, boxes, (), "boxes.csv, else whole image")


def advice(boxed: Boxed) -> str:
    """What to do where ranges measured on these images serve no purpose; nothing to say where all have a box.

    A network that sees faces in its crops gives other values on pictures in which a face is small.
    """
    whole = sum(sample.box is None for sample in boxed.samples)
    if not whole:
        return ""
    return (
        f"int8 ranges were measured on images of which {whole} of {len(boxed.samples)} were taken as crops, since "
        "boxes.csv has no box of them; where they are whole pictures give --data LABELLED instead of --images, or add "
        "that boxes.csv"
    )


def first(boxed: Boxed, limit: int = LIMIT) -> Boxed:
    """At most so many of the samples."""
    return Boxed(boxed.samples[:limit], boxed.boxes[:limit], boxed.dropped, boxed.source)


def cut(boxed: Boxed, rule: CropRule) -> tuple[U8, list[F64]]:
    """Crops u8[N,S,S,3] of all samples, and the affine f64[2,3] from image px to crop px of each."""
    matrices = [crop_matrix(box, rule) for box in boxed.boxes]
    crops = [
        crop_image(read_image(s.path), matrix, rule.size) for s, matrix in zip(boxed.samples, matrices, strict=True)
    ]
    return np.stack(crops), matrices


def jittered(boxed: Boxed, count: int, seed: int = 0) -> Boxed:
    """`count` samples, each as often as the next, with boxes as a detector might place them."""
    draw = np.random.default_rng(seed)
    turns = -(-count // len(boxed.samples))
    order = np.concatenate([draw.permutation(len(boxed.samples)) for _ in range(turns)])[:count]
    boxes = tuple(_jitter(boxed.boxes[i], draw) for i in order)
    return Boxed(tuple(boxed.samples[i] for i in order), boxes, (), f"{boxed.source}, jittered")


def _jitter(box: Box, draw: np.random.Generator) -> Box:
    x, y = np.array(box.center) + draw.uniform(-CENTRE, CENTRE, 2) * (box.width, box.height)
    half_w, half_h = np.exp(draw.uniform(-SCALE, SCALE)) / 2 * np.array([box.width, box.height])
    return Box(float(x - half_w), float(y - half_h), float(x + half_w), float(y + half_h), box.score)
