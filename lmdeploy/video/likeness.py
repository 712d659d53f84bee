"""What a face looks like, to tell two apart that meet: a tiny picture of its landmark box, free of brightness.

    look = (thumb - mean) / |thumb - mean|            likeness(a, b) = a . b in [-1, 1]

thumb is the landmark box as 8x8 pixels of RGB; the mean is over all pixels and colours, so that hues stay. It is no
recognition: it tells a face from the one beside it in the same light, some tenths of a second later. Of a face that
is half covered it says little, of the one in front all: the two are told apart by the one in front.
"""

from __future__ import annotations

import numpy as np

from lmdeploy.geometry import CropRule, crop_image, crop_matrix
from lmdeploy.types import F32, U8, Box

SIDE, SCALE = 8, 1.1
_RULE = CropRule(kind="stretch", scale=SCALE, size=32)
_BLOCK = _RULE.size // SIDE


def look(image: U8, box: Box) -> F32:
    """The look f32[192] of a landmark box (image px) of u8[H,W,3] RGB; zeros where there is nothing to see."""
    crop = crop_image(image, crop_matrix(box, _RULE), _RULE.size).astype(np.float32)
    thumb = crop.reshape(SIDE, _BLOCK, SIDE, _BLOCK, 3).mean(axis=(1, 3)).ravel()
    thumb -= thumb.mean()
    return np.asarray(thumb / max(float(np.linalg.norm(thumb)), 1e-3), np.float32)


def likeness(one: F32, other: F32) -> float:
    """Correlation of two looks, -1 to 1."""
    return float(one @ other)
