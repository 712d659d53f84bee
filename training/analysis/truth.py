"""Pseudo-labels beside the hidden true labels of the same images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lmdeploy import metrics
from lmdeploy.dataset import Sample, read_labelled
from lmdeploy.geometry import CropRule, crop_matrix, landmark_box, scale_of, transform
from lmdeploy.types import F32, F64, Array, Box
from training.analysis.run import Labels, MissingError, Run
from training.data import published

SIDE = 256  # px of the crop that STLD's analyses count in


@dataclass(frozen=True, slots=True)
class Matched:
    """Images of a run that have both labels.

    boxes: what the crops are cut around. pseudo, true: f32[N,K,2], image px. score: f64[N] or None.
    """

    run: Run
    samples: tuple[Sample, ...]
    boxes: tuple[Box, ...]
    pseudo: F32
    true: F32
    score: F64 | None

    def nme(self, pred: Array, truth: Array) -> F64:
        """NME_i f64[N], per cent, of pred against truth f[N,K,2], image px, under the run's normaliser and frame.

        The divisor is always that of the true labels.
        """
        true = self.true
        if self.run.frame == "crop":
            pred, truth, true = (self.to_crop(points) for points in (pred, truth, true))
        divisor = metrics.normalising_px(true, self.run.normaliser, self._sizes())
        return 100 * metrics.mean_of_seen(metrics.radial_errors(pred, truth), axis=1) / divisor

    def to_crop(self, points: Array) -> F32:
        """Points f[N,K,2], image px -> px of each image's crop of SIDE x SIDE px under the run's crop rule."""
        return in_crop(points, self.boxes, self.run.spec.crop)

    def _sizes(self) -> list[Box] | None:
        """What the kinds `box` and `image` divide by, in the run's frame."""
        kind, is_crop = self.run.normaliser.kind, self.run.frame == "crop"
        if kind == "distance":
            return None
        matrices = [crop_matrix(box, _rule(self.run.spec.crop)) for box in self.boxes]
        if kind == "image":
            sides = [SIDE / (1.0 if is_crop else scale_of(matrix)) for matrix in matrices]
            return [Box(0.0, 0.0, side, side) for side in sides]
        own = [s.box or box for s, box in zip(self.samples, self.boxes, strict=True)]
        if not is_crop:
            return own
        corners = [np.array([[b.x0, b.y0], [b.x1, b.y1]]) for b in own]
        return [Box(*transform(m, of).ravel().tolist()) for m, of in zip(matrices, corners, strict=True)]


@dataclass(frozen=True, slots=True)
class Truth:
    """The true labels of images that counted as unlabelled, by file name.

    cropped: the samples carry the box of their data set's crop policy; else crops are cut around the true landmarks.
    """

    samples: dict[str, Sample]
    cropped: bool = False

    def of(self, run: Run, labels: Labels) -> Matched:
        """The pseudo-labelled images whose true labels are here; MissingError when there is none."""
        kept = [i for i, name in enumerate(labels.names) if name in self.samples]
        if not kept:
            raise MissingError(f"{run.name}: none of its {len(labels.names)} unlabelled images has a row in --data")
        samples = tuple(self.samples[labels.names[i]] for i in kept)
        score = None if labels.score is None else labels.score[kept]
        boxes = crop_boxes(samples, self.cropped)
        return Matched(run, samples, boxes, labels.points[kept], points_of(samples), score)


def read_truth(folder: Path, run: Run) -> Truth:
    """--data: a labelled folder, or the user's copy of the published set that the run's recipe names."""
    data = run.data
    if data is None or (folder / "landmarks.csv").is_file():
        return Truth({sample.name: sample for sample in read_labelled(folder, run.spec.landmarks)})
    return Truth({sample.name: sample for sample in published.samples_of(data, folder, data.split)}, cropped=True)


def crop_boxes(samples: tuple[Sample, ...], cropped: bool) -> tuple[Box, ...]:
    """The samples' own boxes where they are their crops', else those of their points."""
    return tuple(
        sample.box if cropped and sample.box else landmark_box(of)
        for sample, of in zip(samples, points_of(samples), strict=True)
    )


def in_crop(points: Array, boxes: tuple[Box, ...], crop: CropRule) -> F32:
    """Points f[N,K,2], image px -> px of the SIDE x SIDE crop that `crop` cuts around each box."""
    return np.stack([transform(crop_matrix(box, _rule(crop)), p) for p, box in zip(points, boxes, strict=True)])


def points_of(samples: tuple[Sample, ...]) -> F32:
    """f32[N,K,2], image px, of labelled samples."""
    return np.stack([sample.points for sample in samples if sample.points is not None])


def _rule(crop: CropRule) -> CropRule:
    return crop.model_copy(update={"size": SIDE})
