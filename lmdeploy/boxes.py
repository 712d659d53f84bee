"""Landmark boxes for the samples of a data set, under the rule that evaluation, training and the gate share.

An image's box is its row in boxes.csv, else the detector's box through that detector's BoxMap; where no face is
found the image is dropped and named. Ground-truth boxes are taken only when they are asked for by `gt`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lmdeploy.dataset import Sample
from lmdeploy.detect.base import Detector
from lmdeploy.errors import DataError, InputError
from lmdeploy.geometry import BoxMap, fit_box_map, landmark_box
from lmdeploy.images import read_image
from lmdeploy.types import U8, Box

LEAST_OVERLAP = 0.3  # IoU below which a detection is not the labelled face
WHOLE = "whole_image"  # its box is never another face, however small the face is in it
Track = Callable[[Sequence[Sample]], Iterable[Sample]]


@dataclass(frozen=True, slots=True)
class Boxed:
    """The samples that have a landmark box, and which.

    samples, boxes: in step; the box (image px) is the one to crop, whatever `sample.box` says. dropped: names of the
    images without a box. source: where the boxes are from, in words for people.
    """

    samples: tuple[Sample, ...]
    boxes: tuple[Box, ...]
    dropped: tuple[str, ...]
    source: str


def boxes_for(
    samples: Sequence[Sample],
    source: str,
    detector: Detector | None = None,
    box_maps: Mapping[str, BoxMap] | None = None,
    track: Track = iter,
) -> Boxed:
    """Give every sample its landmark box.

    Args:
        samples: labelled or not.
        source: `gt` (box of the true points), `file` (boxes.csv alone), or the name of `detector`.
        detector: finds faces where boxes.csv has no row. Of several, a labelled sample gets the one that overlaps
            the truth best, an unlabelled one the largest.
        box_maps: by detector name; without one its boxes are taken as they are, which `source` of the result says.
        track: hands the samples on one by one while the detector looks at them; it may show how far that is.
    Errors: InputError for `gt` without labels or an unknown source, DataError with all images that cannot be read, or
    whose points are in one place.
    """
    if source == "gt":
        return _gather(samples, _true_boxes(samples), source)
    if source == "file":
        return _gather(samples, [sample.box for sample in samples], source)
    if detector is None or detector.name != source:
        raise InputError(f"boxes {source!r}: choose gt, file, or the name of a detector that is given")
    box_map = (box_maps or {}).get(source)
    images = _Images()
    found = [sample.box or images.detect(sample, detector, box_map or BoxMap()) for sample in track(samples)]
    images.check()
    from_file = "file, else " if any(sample.box for sample in samples) else ""
    return _gather(samples, found, f"{from_file}{source}{'' if box_map else ' (as it is, no box map)'}")


def fit_detector(samples: Sequence[Sample], detector: Detector, track: Track = iter) -> BoxMap:
    """The map from this detector's boxes to landmark boxes, from labelled samples where it finds the face."""
    images = _Images()
    least = 0.0 if detector.name == WHOLE else LEAST_OVERLAP
    detected, wanted = [], []
    for sample in track(samples):
        truth = _true_box(sample)
        box = images.detect(sample, detector, BoxMap())
        if box is not None and iou(box, truth) >= least:
            detected.append(box)
            wanted.append(truth)
    images.check()
    if not detected:
        raise InputError(f"{detector.name} finds none of the {len(samples)} labelled faces; choose another detector")
    return fit_box_map(detected, wanted)


def iou(a: Box, b: Box) -> float:
    """Area of the intersection over that of the union of two boxes, in [0, 1]."""
    w, h = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    shared = max(w, 0.0) * max(h, 0.0)
    union = a.width * a.height + b.width * b.height - shared
    return shared / union if union > 0 else 0.0


class _Images:
    """Reads images for detection and remembers those that cannot be read, to name them all at once."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def detect(self, sample: Sample, detector: Detector, box_map: BoxMap) -> Box | None:
        try:
            image: U8 = read_image(sample.path)
        except InputError as error:
            self.problems.append(str(error))
            return None
        boxes = [box_map.apply(box) for box in detector.detect(image)]
        if sample.points is None:
            return max(boxes, key=lambda box: box.width * box.height, default=None)
        truth = landmark_box(sample.points)
        return max(boxes, key=lambda box: iou(box, truth), default=None)

    def check(self) -> None:
        if self.problems:
            raise DataError(f"{len(self.problems)} images cannot be read; mend or remove them", self.problems)


def _true_boxes(samples: Sequence[Sample]) -> list[Box]:
    boxes = [_true_box(sample) for sample in samples]
    single = [sample.name for sample, box in zip(samples, boxes, strict=True) if not (box.width > 0 or box.height > 0)]
    if single:
        raise DataError(
            f"{len(single)} images have all points in one place, which is no box to crop: mend or remove them",
            single,
        )
    return boxes


def _true_box(sample: Sample) -> Box:
    if sample.points is None:
        raise InputError(
            f"{sample.name} has no label, so there is no ground-truth box: choose boxes file or a detector"
        )
    return landmark_box(sample.points)


def _gather(samples: Sequence[Sample], boxes: Sequence[Box | None], source: str) -> Boxed:
    pairs = [(sample, box) for sample, box in zip(samples, boxes, strict=True) if box is not None]
    dropped = tuple(sample.name for sample, box in zip(samples, boxes, strict=True) if box is None)
    return Boxed(tuple(sample for sample, _ in pairs), tuple(box for _, box in pairs), dropped, source)
