"""Keeps the anchor out of the pool: no frame that shows an anchor picture, however it was encoded, lit or cropped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from lmdeploy.dataset import read_labelled
from lmdeploy.images import read_image
from lmdeploy.site.anchor import FOLDER, site_schema
from lmdeploy.site.config import SiteConfig
from lmdeploy.site.fingerprint import U64, distances, fingerprint, fingerprints_around
from lmdeploy.types import U8, Landmarks

Predict = Callable[[U8], list[Landmarks]]


def anchor_fingerprints(site: Path, config: SiteConfig, predict: Predict | None = None) -> U64:
    """u64[N] of both halves of the anchor.

    Each picture gives the 27 fingerprints around its true points and, with `predict`, one at every place where the
    champion sees an object in it: a frame that shows it again goes the same way, so it is known even where the
    champion is wrong.
    """
    found: list[int] = []
    for sample in read_labelled(site / FOLDER, site_schema(site, config)):
        image = read_image(sample.path)
        if sample.points is not None:
            found += fingerprints_around(image, sample.points)
        if predict is not None:
            found += [fingerprint(image, landmarks.points_raw) for landmarks in predict(image)]
    return np.array(found, np.uint64)


def shows_anchor(one: int, anchor: U64, bits: int) -> bool:
    """Whether a fingerprint is within `bits` of any of the anchor's."""
    return nearest(one, anchor) <= bits


def nearest(one: int, many: U64) -> int:
    """Bits by which `one` differs from the nearest of u64[N]; 64 when there is none."""
    return int(distances(one, many).min()) if len(many) else 64
