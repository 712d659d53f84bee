"""How far an engine is from what the bundle's own crops were found to hold when it was exported."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from lmdeploy.backends.base import Backend
from lmdeploy.errors import BundleError

FILE = "reference.npz"
TOLERANCE_PX = {"fp32": 0.02, "fp16": 0.1, "bf16": 0.1}
"""99th percentile of the distance to PyTorch in fp32, crop px (design.md)."""


def distance_px(backend: Backend, reference: Path) -> float:
    """99th percentile of the distance to the recorded points, crop px; infinite where the engine gives no number.

    The first crop goes through alone and all of them together, since engines treat the two differently.

    Args:
        backend: an open engine.
        reference: reference.npz, `crops` u8[N,S,S,3] and `points` f32[N,K,2] of them, crop px.
    """
    try:
        with np.load(reference, allow_pickle=False) as saved:
            crops, points = saved["crops"], saved["points"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BundleError(f"{reference} cannot be read ({error}); export the model again") from error
    found = np.concatenate([backend.run(crops[:1]).points, backend.run(crops).points])
    distance = np.linalg.norm(found - np.concatenate([points[:1], points]), axis=-1)
    return float(np.percentile(np.where(np.isfinite(distance), distance, np.inf), 99))
