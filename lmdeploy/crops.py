"""Boxes of images -> landmarks in image px: crops are cut, the network looks at them, its points are mapped back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from lmdeploy.backends.frames import from_frames
from lmdeploy.errors import BundleError
from lmdeploy.geometry import crop_image, crop_matrix, invert, scale_of
from lmdeploy.given import Color, as_rgb
from lmdeploy.model import Model
from lmdeploy.types import F32, F64, U8, Box, Landmarks, Prediction

Observer = Callable[[str, float], None]
"""Takes a stage and its milliseconds."""


class Crops:
    """Looks at boxes; keeps the room that the crops take from one batch to the next. Used by one thread at a time."""

    def __init__(self) -> None:
        """No room yet."""
        self._buffer = np.empty((0, 0, 0, 3), np.uint8)

    def look(
        self, model: Model, pairs: Sequence[tuple[U8, Box]], color: Color, observe: Observer | None
    ) -> list[Landmarks]:
        """Landmarks of each box, all in one batch.

        Args:
            model: its spec says how boxes are cut.
            pairs: an image u8[H,W,3] in the order `color`, or grey u8[H,W], with a landmark box in its px.
            color: of all images.
            observe: told the stages crop (not where the network cuts for itself), network and back_map.
        Returns: one Landmarks a pair, in order, points in image px.
        Errors: BundleError for a network that gives no finite points.
        """
        start, spec, backend = perf_counter(), model.spec, model.backend
        matrices = [crop_matrix(box, spec.crop) for _, box in pairs]
        images = [image for image, _ in pairs]
        prediction = from_frames(backend, images, matrices) if color == "rgb" else None
        if prediction is None:
            crops = self._cut(pairs, matrices, spec.crop.size, color)
            start = tell(observe, "crop", start)
            prediction = backend.run(crops)
        start = tell(observe, "network", start)
        if not np.isfinite(prediction.points).all():
            raise BundleError(f"{spec.name} gives no finite points for a crop; its weights are broken: export again")
        about: dict[str, Any] = {"digest": model.digest, "provider": backend.provider}
        found = _back_map(prediction, matrices, [box for _, box in pairs], about)
        tell(observe, "back_map", start)
        return found

    def _cut(self, pairs: Sequence[tuple[U8, Box]], matrices: list[F64], size: int, color: Color) -> U8:
        """Crops u8[B,S,S,3] RGB in a buffer that the next call writes again."""
        if len(self._buffer) < len(pairs) or self._buffer.shape[1] != size:
            self._buffer = np.empty((len(pairs), size, size, 3), np.uint8)
        for slot, (image, _), matrix in zip(self._buffer, pairs, matrices, strict=False):
            if image.ndim == 3 and color == "rgb":
                crop_image(image, matrix, size, slot)
            else:  # turning the crop is cheaper than turning the frame
                slot[...] = as_rgb(crop_image(image, matrix, size), color)
        return self._buffer[: len(pairs)]


def _back_map(prediction: Prediction, matrices: list[F64], boxes: list[Box], about: dict[str, Any]) -> list[Landmarks]:
    """Crop px -> image px, for the whole batch at once."""
    back = np.stack([invert(matrix) for matrix in matrices])  # [B,2,3]
    points = (prediction.points @ back[:, :, :2].transpose(0, 2, 1) + back[:, None, :, 2]).astype(np.float32)
    scales = np.array([scale_of(matrix) for matrix in matrices], np.float32)
    spread = prediction.spread / scales[:, None]
    rows: zip[tuple[F32, F32, F32, Box]] = zip(points, prediction.score, spread, boxes, strict=True)
    return [Landmarks(p, p, score, width, box, **about) for p, score, width, box in rows]


def tell(observe: Observer | None, stage: str, start: float) -> float:
    """Report a stage that began at `start` (s of time.perf_counter); the time now, when the next one begins."""
    now = perf_counter()
    if observe is not None:
        observe(stage, (now - start) * 1e3)
    return now
