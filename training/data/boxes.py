"""Landmark boxes of a run's images: true ones for labels in use, a detector's for everything else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from lmdeploy.boxes import Boxed, boxes_for, fit_detector
from lmdeploy.dataset import Sample
from lmdeploy.detect import DETECTORS, Detector, open_detector
from lmdeploy.errors import InputError
from lmdeploy.geometry import BoxMap
from training.data.pools import Pools, without_labels

FIT_ON = 200  # labelled images that a detector's box map is fitted on, at most


@dataclass(frozen=True, slots=True)
class Boxes:
    """Samples that carry their landmark box, the fitted map of each detector, and what to tell the user."""

    labelled: list[Sample]
    unlabelled: list[Sample]
    maps: dict[str, BoxMap]
    notes: tuple[str, ...]


def find_boxes(pools: Pools, source: str, yunet: Path | None, unlabelled: bool) -> Boxes:
    """Boxes for all pools.

    Args:
        pools: labelled, hidden and unlabelled samples.
        source: for images without labels: a detector's name, `file` (boxes.csv alone), or `gt`, which takes the true
            boxes of hidden images.
        yunet: YuNet's model file, where there is one; its map is then fitted too.
        unlabelled: whether the method needs unlabelled images at all.
    """
    labelled = _carry(boxes_for(pools.labelled, "gt"))
    detectors = _detectors(source, yunet)
    maps, notes = _fit_maps(labelled[:FIT_ON], detectors, source)
    if not unlabelled:
        return Boxes(labelled, [], maps, notes)
    found, more = _of_unlabelled(pools, source, detectors.get(source), maps)
    return Boxes(labelled, found, maps, (*notes, *more))


def _fit_maps(
    samples: list[Sample], detectors: dict[str, Detector], source: str
) -> tuple[dict[str, BoxMap], tuple[str, ...]]:
    """Box maps of all detectors; one that finds no face matters only where its boxes are asked for."""
    maps, notes = {}, []
    for name, detector in detectors.items():
        try:
            maps[name] = fit_detector(samples, detector)
        except InputError as error:
            if name == source:
                raise
            notes.append(f"the model gets no box map for {name}: {error}")
    return maps, tuple(notes)


def _of_unlabelled(
    pools: Pools, source: str, detector: Detector | None, maps: dict[str, BoxMap]
) -> tuple[list[Sample], tuple[str, ...]]:
    notes, found = [], []
    hidden = without_labels(pools.hidden)
    if source == "gt" and pools.hidden:
        boxed = boxes_for(pools.hidden, "gt")
        found = without_labels(_carry(boxed))
        notes.append(f"boxes: the ground truth of {len(found)} images that count as unlabelled (boxes = gt)")
        hidden = []
    others = [*hidden, *pools.unlabelled]
    if others:
        boxed = boxes_for(others, "file" if source == "gt" else source, detector, maps)
        found.extend(_carry(boxed))
        notes.append(f"boxes: {boxed.source}; no face in {len(boxed.dropped)} of {len(others)} images, dropped")
    return found, tuple(notes)


def _carry(boxed: Boxed) -> list[Sample]:
    """The samples with the box that is to be cropped as their own."""
    return [replace(sample, box=box) for sample, box in zip(boxed.samples, boxed.boxes, strict=True)]


def _detectors(source: str, yunet: Path | None) -> dict[str, Detector]:
    if source not in {"gt", "file", *DETECTORS}:
        raise InputError(f"boxes {source!r}: choose gt, file, {', '.join(sorted(DETECTORS))}")
    wanted = {source} & set(DETECTORS) | {"haar"} | ({"yunet"} if yunet else set())
    return {name: open_detector(name, yunet) for name in sorted(wanted)}
