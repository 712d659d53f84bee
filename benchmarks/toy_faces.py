"""Drawn faces with known ibug68 points: data that a quick benchmark or a test can make anywhere."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from lmdeploy.atomic import write_file
from lmdeploy.types import F64, U8
from training.data.crops import labels_csv

PARTS = {"left_eye": slice(36, 42), "right_eye": slice(42, 48), "outer_lip": slice(48, 60), "inner_lip": slice(60, 68)}


def shape(draw: np.random.Generator) -> F64:
    """One random ibug68 shape f64[68,2] about the origin, the inter-ocular distance near 1."""
    turn = np.linspace(np.pi, 0, 17)
    wide, open_mouth, brow = draw.uniform(0.9, 1.05), draw.uniform(0.04, 0.2), draw.uniform(-0.32, -0.22)
    jaw = np.stack([wide * np.cos(turn), 0.1 + 1.15 * np.sin(turn)], axis=1)
    arc = np.stack([np.linspace(-0.72, -0.22, 5), brow - 0.06 * np.sin(np.linspace(0, np.pi, 5))], axis=1)
    bridge = np.stack([np.zeros(4), np.linspace(0.0, 0.36, 4)], axis=1)
    nostrils = np.stack([np.linspace(-0.16, 0.16, 5), 0.46 + 0.04 * np.sin(np.linspace(0, np.pi, 5))], axis=1)
    lid = np.array([[-0.14, 0], [-0.05, -0.06], [0.05, -0.06], [0.14, 0], [0.05, 0.05], [-0.05, 0.05]])
    around = np.linspace(np.pi, 3 * np.pi, 13)[:-1]
    outer = np.stack([0.32 * np.cos(around), 0.78 + (0.08 + open_mouth) * np.sin(around)], axis=1)
    around = np.linspace(np.pi, 3 * np.pi, 9)[:-1]
    inner = np.stack([0.25 * np.cos(around), 0.78 + open_mouth * np.sin(around)], axis=1)
    shift = np.array([0.42, 0.0])
    eyes = [lid - shift, lid + shift]
    mirrored = arc[::-1] * [-1, 1]
    points: F64 = np.concatenate([jaw, arc, mirrored, bridge, nostrils, *eyes, outer, inner])
    return points + draw.normal(0, 0.008, points.shape)


def face(draw: np.random.Generator, size: int = 160) -> tuple[U8, F64]:
    """A drawn face: image u8[size,size,3] RGB and its points f64[68,2], image px."""
    angle, zoom = draw.normal(0, 0.15), size * draw.uniform(0.2, 0.28)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (shape(draw) - [0, 0.35]) @ turn.T * zoom + size / 2 + draw.uniform(-0.05, 0.05, 2) * size
    image = np.full((size, size, 3), draw.integers(0, 256, 3), np.uint8)
    skin, dark, lips, white = (
        draw.integers(*span, 3).tolist() for span in ((120, 230), (0, 80), (60, 200), (200, 256))
    )
    _fill(image, np.concatenate([points[:17], points[26:16:-1] - [0, 0.3 * zoom]]), skin)
    for part, tint in (("left_eye", white), ("right_eye", white), ("outer_lip", lips), ("inner_lip", dark)):
        _fill(image, points[PARTS[part]], tint)
    for first, last in ((17, 22), (22, 27), (27, 31), (31, 36)):
        cv2.polylines(image, [_fixed(points[first:last])], False, dark, 2, cv2.LINE_AA, SHIFT)
    noisy = image + draw.normal(0, 6, image.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), points


SHIFT = 4  # binary digits of sub-pixel precision in OpenCV's drawing


def _fixed(points: F64) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    return np.round(points * (1 << SHIFT)).astype(np.int32).reshape(-1, 1, 2)


def _fill(image: U8, points: F64, tint: list[int]) -> None:
    cv2.fillPoly(image, [_fixed(points)], tint, cv2.LINE_AA, SHIFT)


def write_folder(folder: Path, count: int, seed: int, labelled: bool = True) -> Path:
    """A data folder of `count` drawn faces in the points-CSV layout; every two images share an identity."""
    draw = np.random.default_rng(seed)
    names, shapes = [], []
    for i in range(count):
        image, points = face(draw)
        names.append(f"toy_{seed}_{i:04d}.png")
        shapes.append(points)
        ok, encoded = cv2.imencode(".png", image[..., ::-1])
        assert ok, "OpenCV encodes PNG"
        write_file(folder / "images" / names[-1], encoded.tobytes())
    rows = [f"{name},id{i // 2},{160},{160}" for i, name in enumerate(names)]
    write_file(folder / "manifest.csv", ("\n".join(["image,identity,w,h", *rows]) + "\n").encode())
    if labelled:
        write_file(folder / "landmarks.csv", labels_csv(tuple(names), np.stack(shapes).astype(np.float32)).encode())
    return folder
