"""Run any predictor (bundle or checkpoint) on boxed samples and keep what it said, in image and crop pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lmdeploy.boxes import Boxed
from lmdeploy.dataset import Sample
from lmdeploy.errors import DataError, InputError
from lmdeploy.geometry import crop_image, crop_matrix, invert, transform
from lmdeploy.images import read_image
from lmdeploy.model import Model
from lmdeploy.types import F32, F64, U8

BATCH = 32


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a model said of N samples, in the order of `boxed.samples`.

    points_image: f32[N,K,2], image px. matrices: N affines f64[2,3], image px -> crop px.
    """

    model: Model
    boxed: Boxed
    points_image: F32
    matrices: tuple[F64, ...]

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The samples that had a box."""
        return self.boxed.samples

    @property
    def truth_image(self) -> F32:
        """True points f32[N,K,2], image px, NaN = not annotated; InputError when a sample has none."""
        unlabelled = [sample.name for sample in self.samples if sample.points is None]
        if unlabelled:
            raise InputError(f"{unlabelled[0]} has no label: only labelled samples can be evaluated")
        return np.stack([sample.points for sample in self.samples if sample.points is not None])

    def to_crop(self, points_image: F32) -> F32:
        """Points f32[N,K,2] from image px to px of each sample's own crop."""
        return np.stack([transform(m, points) for m, points in zip(self.matrices, points_image, strict=True)])

    def crop(self, index: int) -> U8:
        """The crop u8[S,S,3] RGB that the model saw of one sample."""
        return crop_image(read_image(self.samples[index].path), self.matrices[index], self.model.spec.crop.size)


def predict_samples(model: Model, boxed: Boxed) -> Outcome:
    """Run the model on every boxed sample.

    Args:
        model: an open model; its own crop rule cuts the crops.
        boxed: samples with landmark boxes, labelled or not.
    Errors: DataError with all images that cannot be read, InputError when no sample has a box.
    """
    if not boxed.samples:
        raise InputError(f"no image is left: none of {len(boxed.dropped)} has a box (boxes: {boxed.source})")
    matrices = tuple(crop_matrix(box, model.spec.crop) for box in boxed.boxes)
    points: list[F32] = []
    problems: list[str] = []
    for batch in (boxed.samples[at : at + BATCH] for at in range(0, len(boxed.samples), BATCH)):
        own = matrices[len(points) : len(points) + len(batch)]
        crops = _crops(batch, own, model.spec.crop.size, problems)
        points += [transform(invert(m), p) for m, p in zip(own, model.backend.run(crops).points, strict=True)]
    if problems:
        raise DataError(f"{len(problems)} images cannot be read; mend or remove them", problems)
    return Outcome(model, boxed, np.stack(points), matrices)


def _crops(batch: Sequence[Sample], matrices: Sequence[F64], size: int, problems: list[str]) -> U8:
    """Crops u8[B,size,size,3]; black, and a line in `problems`, for an image that cannot be read."""
    crops = np.zeros((len(batch), size, size, 3), np.uint8)
    for crop, sample, matrix in zip(crops, batch, matrices, strict=True):
        try:
            crop[:] = crop_image(read_image(sample.path), matrix, size)
        except InputError as error:
            problems.append(str(error))
    return crops
