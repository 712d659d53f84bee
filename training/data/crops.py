"""Decoded crops as arrays: what training reads instead of image files.

A cached crop is the network's crop with a margin around it at the same scale, so that every geometric augmentation
is one warp of it and the plain crop is a slice of it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lmdeploy.dataset import Sample
from lmdeploy.errors import InputError
from lmdeploy.geometry import CropRule, crop_matrix, invert, transform
from lmdeploy.types import F32, F64, U8, Box
from training.data.attributes import Attributes, read_attributes
from training.data.decode import decode
from training.engine import processes

MARGIN = 1.5


@dataclass(frozen=True, slots=True)
class Crops:
    """N cached crops.

    images: u8[N,M,M,3] RGB (a memory map). points: f32[N,K,2], cache px, NaN = not annotated.
    matrices: f64[N,2,3], image px -> cache px. names: file names. score: f32[N,K], confidence of predicted labels;
    None for true ones. attributes: what the folders tell of the images beside their points; None where they do not.
    quality: f32[N], what a judge thinks of predicted labels, higher is better; None where there was none.
    """

    images: U8
    points: F32
    matrices: F64
    names: tuple[str, ...]
    score: F32 | None = None
    attributes: Attributes | None = None
    quality: F32 | None = None

    def __len__(self) -> int:
        """N."""
        return len(self.images)

    def with_points(self, points: F32, score: F32 | None = None) -> Crops:
        """The same crops with other labels f32[N,K,2], cache px, and their confidence f32[N,K]."""
        return replace(self, points=points, score=score, quality=None)

    def rows(self, first: int, last: int) -> Crops:
        """Crops first .. last - 1, without copying an image."""
        score = None if self.score is None else self.score[first:last]
        cut = slice(first, last)
        told = None if self.attributes is None else self.attributes.rows(first, last)
        quality = None if self.quality is None else self.quality[cut]
        return Crops(self.images[cut], self.points[cut], self.matrices[cut], self.names[cut], score, told, quality)

    def points_frame(self, points: F32) -> F32:
        """Points f32[N,K,2] in cache px -> image px."""
        return np.stack([transform(invert(m), p) for m, p in zip(self.matrices, points, strict=True)])


def cache_rule(rule: CropRule) -> CropRule:
    """The rule of the cached crop: the same scale, MARGIN times the side (the difference is even)."""
    side = rule.size + 2 * round(rule.size * (MARGIN - 1) / 2)
    return CropRule(kind=rule.kind, scale=rule.scale * side / rule.size, size=side)


def build(samples: list[Sample], landmarks: int, rule: CropRule, folder: Path, name: str) -> Crops:
    """Crops of samples that carry a landmark box, from the cache in `folder` or decoded now into it.

    Raises:
        InputError: no sample at all.
        DataError: some images cannot be read; each is named.

    Of several processes the first one decodes; all of them see the same folder.
    """
    if not samples:
        raise InputError(f"{name}: no image is left to train on; check the folder, the list and the detector")
    wide = cache_rule(rule)
    file = folder / f"{name}-{_key(samples, wide)}.npy"
    matrices = np.stack([crop_matrix(_box(s), wide) for s in samples])
    if not file.is_file() and processes.first():
        folder.mkdir(parents=True, exist_ok=True)
        decode(samples, matrices, wide.size, file)
    processes.barrier()
    points = np.full((len(samples), landmarks, 2), np.nan, np.float32)
    for i, sample in enumerate(samples):
        if sample.points is not None:
            points[i] = transform(matrices[i], sample.points)
    names, told = tuple(s.name for s in samples), read_attributes(samples)
    return Crops(np.load(file, mmap_mode="r"), points, matrices, names, attributes=told)


def _box(sample: Sample) -> Box:
    if sample.box is None:
        raise InputError(f"{sample.name}: no landmark box; give boxes.csv or a detector")
    return sample.box


def _key(samples: list[Sample], rule: CropRule) -> str:
    """Changes with any file's name, size or time, with any box and with the crop rule."""
    digest = hashlib.sha256(rule.model_dump_json().encode())
    for sample in samples:
        stat = sample.path.stat()
        box = _box(sample)
        digest.update(
            json.dumps([str(sample.path), stat.st_size, stat.st_mtime_ns, box.x0, box.y0, box.x1, box.y1]).encode()
        )
    return digest.hexdigest()[:16]


def labels_csv(names: tuple[str, ...], points: F32, score: F32 | None = None) -> str:
    """Text of a points-CSV for points f32[N,K,2], image px; an empty cell is a point not annotated.

    score: f32[N,K], confidence of predicted points; its mean over the points becomes the column `score`.
    """
    columns = [f"{axis}{k}" for k in range(points.shape[1]) for axis in "xy"]
    scored = [] if score is None else ["score"]
    lines = [",".join(["image", *scored, *columns])]
    for i, (name, row) in enumerate(zip(names, points.reshape(len(points), -1), strict=True)):
        mean = [] if score is None else [f"{score[i].mean():.4f}"]
        lines.append(",".join([name, *mean, *(f"{v:.3f}" if np.isfinite(v) else "" for v in row)]))
    return "\n".join(lines) + "\n"
