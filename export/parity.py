"""Does a file say the same as PyTorch? Distances between both on the same crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from lmdeploy.backends.base import Backend
from lmdeploy.dataset import read_unlabelled
from lmdeploy.errors import InputError
from lmdeploy.geometry import CropRule, crop_image, crop_matrix, whole_image_box
from lmdeploy.images import read_image
from lmdeploy.types import U8

TOLERANCE_PX = {"fp32": 0.02}  # 99th percentile of the distance, crop px (design.md)
BATCH = 32


class Parity(BaseModel):
    """Distances between two backends over N crops, crop px; only the 99th percentile is gated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    precision: str
    images: int
    median_px: float
    p99_px: float
    max_px: float
    score_max: float
    tolerance_px: float

    @property
    def passed(self) -> bool:
        """Whether the 99th percentile is inside the tolerance; NaN is not."""
        return self.p99_px <= self.tolerance_px

    def sentence(self) -> str:
        """One line for people."""
        verdict = "within" if self.passed else "OVER"
        return (
            f"{self.precision} against PyTorch on {self.images} crops: median {self.median_px:.5f} px, 99 % "
            f"{self.p99_px:.5f} px ({verdict} the tolerance of {self.tolerance_px} px), max {self.max_px:.4f} px, "
            f"score max {self.score_max:.2g}"
        )


def compare(reference: Backend, candidate: Backend, crops: U8, precision: str = "fp32") -> Parity:
    """Run both on crops u8[N,S,S,3] and compare points and scores."""
    distance, score = [], []
    for i in range(0, len(crops), BATCH):
        a, b = reference.run(crops[i : i + BATCH]), candidate.run(crops[i : i + BATCH])
        distance.append(np.linalg.norm(a.points - b.points, axis=-1).ravel())
        score.append(np.abs(a.score - b.score).ravel())
    all_px, all_score = np.concatenate(distance), np.concatenate(score)
    return Parity(
        precision=precision, images=len(crops), median_px=float(np.median(all_px)),
        p99_px=float(np.percentile(all_px, 99)), max_px=float(all_px.max()), score_max=float(all_score.max()),
        tolerance_px=TOLERANCE_PX[precision],
    )  # fmt: skip


def crops_of_folder(folder: Path, rule: CropRule, limit: int = 200) -> U8:
    """Crops u8[N,S,S,3] of the first images of a folder: its boxes.csv where there is one, else whole images."""
    samples = read_unlabelled(folder)[:limit]
    if not samples:
        raise InputError(f"{folder}: no images to compare on")
    crops = []
    for sample in samples:
        image = read_image(sample.path)
        box = sample.box or whole_image_box(*image.shape[:2])
        crops.append(crop_image(image, crop_matrix(box, rule), rule.size))
    return np.stack(crops)


def generated_crops(size: int, count: int = 16, seed: int = 0) -> U8:
    """Smooth random pictures u8[count,size,size,3] that anyone may ship: sums of coloured waves and blobs."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    out = np.full((count, size, size, 3), 128.0)
    for picture in out:
        for _ in range(12):
            fx, fy, phase = draw.uniform(-6, 6), draw.uniform(-6, 6), draw.uniform(0, 2 * np.pi)
            picture += np.sin(2 * np.pi * (fx * x + fy * y) + phase)[..., None] * draw.uniform(-25, 25, 3)
        cx, cy, width = draw.uniform(0.2, 0.8), draw.uniform(0.2, 0.8), draw.uniform(0.05, 0.2)
        blob = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * width**2))
        picture += blob[..., None] * draw.uniform(-120, 120, 3)
    crops: U8 = np.clip(out, 0, 255).astype(np.uint8)
    return crops
