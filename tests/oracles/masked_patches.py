"""Reconstruction error of hidden patches, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np


def patch(image: np.ndarray, number: int, side: int) -> list[float]:
    """Values of patch `number` of an image [3,S,S]: pixel rows, pixel columns, colours."""
    across = image.shape[-1] // side
    top, left = (number // across) * side, (number % across) * side
    return [float(image[c, top + y, left + x]) for y in range(side) for x in range(side) for c in range(3)]


def loss(out: np.ndarray, images: np.ndarray, hidden: np.ndarray, side: int) -> float:
    """Mean over hidden patches of the mean squared difference to the patch's normalised values."""
    per_patch = []
    for b in range(len(images)):
        for n in range(out.shape[1]):
            if not hidden[b, n]:
                continue
            values = patch(images[b], n, side)
            mean = sum(values) / len(values)
            var = sum((v - mean) ** 2 for v in values) / (len(values) - 1)
            wanted = [(v - mean) / math.sqrt(var + 1e-6) for v in values]
            gaps = [(float(o) - w) ** 2 for o, w in zip(out[b, n], wanted, strict=True)]
            per_patch.append(sum(gaps) / len(gaps))
    return sum(per_patch) / len(per_patch) if per_patch else 0.0
