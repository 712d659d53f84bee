"""How far an engine is from what the bundle's own crops were found to hold when it was exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lmdeploy.backends.base import Backend
from lmdeploy.errors import BundleError, InputError
from lmdeploy.npz import read_arrays

FILE = "reference.npz"
MOST_CROPS = 64  # they go through the network together; an export has 16
TOLERANCE_PX = {"fp32": 0.02, "fp16": 0.1, "bf16": 0.1, "int8": 0.5}
"""99th percentile of the distance to PyTorch in fp32, crop px (design.md)."""


def distance_px(backend: Backend, reference: Path) -> float:
    """99th percentile of the distance to the recorded points, crop px; infinite where the engine gives no number.

    The first crop goes through alone and all of them together, since engines treat the two differently.

    Args:
        backend: an open engine.
        reference: reference.npz, `crops` u8[N,S,S,3] and `points` f32[N,K,2] of them, crop px.
    """
    crops, points = read_arrays(reference, ("crops", "points"))
    wrong = BundleError(f"{reference} does not fit model.onnx beside it; export the model again")
    if not 0 < len(crops) <= MOST_CROPS or points.dtype != np.float32 or not np.isfinite(points).all():
        raise wrong
    try:
        found = np.concatenate([backend.run(crops[:1]).points, backend.run(crops).points])
    except InputError as error:
        raise wrong from error
    if found[1:].shape != points.shape:
        raise wrong
    if not np.isfinite(found).all():
        return float("inf")
    return float(np.percentile(np.linalg.norm(found - np.concatenate([points[:1], points]), axis=-1), 99))
