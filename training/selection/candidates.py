"""The images that a selection chooses from: of a folder, without those that have labels, each with its box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lmdeploy.boxes import Boxed, boxes_for
from lmdeploy.csv_table import read_table
from lmdeploy.dataset import Sample, read_list, scan_unlabelled
from lmdeploy.detect import DETECTORS, open_detector
from lmdeploy.errors import DataError, InputError
from lmdeploy.images import read_image
from lmdeploy.model import Model


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a selection chooses from.

    boxed: candidates with their landmark boxes. labelled: the same of the images with labels that are at hand.
    listed: names of --labelled, where it is a list. notes: for people. problems: a line per image that cannot be used.
    """

    boxed: Boxed
    labelled: Boxed
    listed: tuple[str, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def candidates_of(folder: Path, labelled: Path | None, model: Model, boxes: str, yunet: Path | None) -> Candidates:
    """Find the candidates and their boxes.

    Args:
        folder: images, or images/ and boxes.csv.
        labelled: a list of names, or a folder whose landmarks.csv (else whose images) names what has labels.
        model: its box map turns the detector's boxes into landmark boxes.
        boxes: a detector's name, or `file` for boxes.csv alone.
        yunet: YuNet's model file.
    Errors: InputError where no candidate is left.
    """
    loaded = scan_unlabelled(folder)
    if not loaded.samples:
        raise InputError(f"{folder}: no image; give a folder of images, or one that holds images/")
    known = _known(labelled)
    samples = [sample for sample in loaded.samples if sample.name not in known]
    if not samples:
        raise InputError(f"{folder}: all {len(loaded.samples)} images have labels already ({labelled})")
    detect = _Boxes(model, boxes, yunet)
    found, problems = detect.find(samples)
    if not found.samples:
        raise InputError(_nothing(folder, found, boxes, problems))
    others, more = detect.find(_labelled_samples(labelled, known, loaded.samples))
    skipped = f", {len(loaded.samples) - len(samples)} with labels left aside" if known else ""
    note = f"{len(loaded.samples)} images{skipped}; boxes: {found.source}; no face in {len(found.dropped)}"
    listed = tuple(known) if labelled is not None and labelled.is_file() else ()
    return Candidates(found, others, listed, (note,), (*loaded.problems, *problems, *more))


class _Boxes:
    """Finds boxes one image at a time, so that one that cannot be read costs no other."""

    def __init__(self, model: Model, source: str, yunet: Path | None) -> None:
        self._source, self._maps = source, model.spec.detectors
        self._detector = open_detector(source, yunet) if source in DETECTORS else None

    def find(self, samples: Sequence[Sample]) -> tuple[Boxed, tuple[str, ...]]:
        """The samples with a box, and a line per image that cannot be read."""
        problems: list[str] = []
        parts = [boxes_for((), self._source, self._detector, self._maps)]
        for sample in samples:
            try:
                if sample.box is not None:
                    read_image(sample.path)  # no detector looks at it, so that a broken one would stay unknown
                parts.append(boxes_for((sample,), self._source, self._detector, self._maps))
            except DataError as error:
                problems.extend(error.problems)
            except InputError as error:
                problems.append(str(error))
        own = tuple(sample for part in parts for sample in part.samples)
        boxes = tuple(box for part in parts for box in part.boxes)
        dropped = tuple(name for part in parts for name in part.dropped)
        given = "file, else " if self._detector is not None and any(sample.box for sample in samples) else ""
        return Boxed(own, boxes, dropped, given + parts[0].source), tuple(problems)


def _known(labelled: Path | None) -> dict[str, None]:
    """Names of the images that have labels, in their order."""
    if labelled is None:
        return {}
    if labelled.is_file():
        return dict.fromkeys(read_list(labelled))
    table = labelled / "landmarks.csv"
    if table.is_file():
        return dict.fromkeys(read_table(table, []).rows)
    return dict.fromkeys(sample.name for sample in scan_unlabelled(labelled).samples)


def _labelled_samples(labelled: Path | None, known: dict[str, None], samples: Sequence[Sample]) -> list[Sample]:
    """The labelled images themselves: of their own folder, else those of the list that lie among the candidates."""
    if labelled is not None and labelled.is_dir():
        samples = scan_unlabelled(labelled).samples
    return [sample for sample in samples if sample.name in known]


def _nothing(folder: Path, found: Boxed, boxes: str, problems: tuple[str, ...]) -> str:
    if problems and not found.dropped:
        return "\n  ".join([f"{folder}: no image can be read", *problems])
    hint = "boxes.csv has no row of them" if boxes == "file" else "no face is found"
    return (
        f"{folder}: {hint} in any of {len(found.dropped)} images; choose another --boxes (haar, yunet, whole_image) "
        "or give boxes.csv"
    )
