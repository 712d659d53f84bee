"""Landmark boxes of a run's images: true ones for labels in use, a detector's for everything else.

What detectors find is kept in the run's cache: on thousands of images it takes minutes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from pathlib import Path

from lmdeploy.boxes import Boxed, boxes_for, fit_detector
from lmdeploy.dataset import Sample
from lmdeploy.detect import DETECTORS, Detector, open_detector
from lmdeploy.errors import InputError
from lmdeploy.geometry import BoxMap
from lmdeploy.types import Box
from training.data.pools import Pools, without_labels
from training.data.remember import identity, remembered
from training.engine.progress import tracked

FIT_ON = 200  # labelled images that a detector's box map is fitted on, at most


@dataclass(frozen=True, slots=True)
class Boxes:
    """Samples that carry their landmark box, the fitted map of each detector, and what to tell the user."""

    labelled: list[Sample]
    unlabelled: list[Sample]
    maps: dict[str, BoxMap]
    notes: tuple[str, ...]


def find_boxes(pools: Pools, source: str, yunet: Path | None, unlabelled: bool, cache: Path | None = None) -> Boxes:
    """Boxes for all pools.

    Args:
        pools: labelled, hidden and unlabelled samples.
        source: for images without labels: a detector's name, `file` (boxes.csv alone), or `gt`, which takes the true
            boxes of hidden images.
        yunet: YuNet's model file, where there is one; its map is then fitted too.
        unlabelled: whether the method needs unlabelled images at all.
        cache: folder for what the detectors find; None finds it anew in every call.
    """
    labelled = _carry(boxes_for(pools.labelled, "gt"))
    detectors = _detectors(source, yunet)
    finder = _Finder(detectors, yunet, cache)
    maps, notes = _fit_maps(labelled[:FIT_ON], finder, source)
    if not unlabelled:
        return Boxes(labelled, [], maps, notes)
    found, more = _of_unlabelled(pools, source, finder, maps)
    return Boxes(labelled, found, maps, (*notes, *more))


@dataclass(frozen=True, slots=True)
class _Finder:
    """The detectors of a run, and where what they find is kept."""

    detectors: dict[str, Detector]
    yunet: Path | None
    cache: Path | None

    def fit(self, samples: list[Sample], name: str) -> BoxMap:
        """The detector's box map."""
        track = tracked(f"fitting {name}")
        found = remembered(
            self.cache, f"box-map-{name}", self._about(samples, name),
            lambda: fit_detector(samples, self.detectors[name], track).model_dump(),
        )  # fmt: skip
        return BoxMap.model_validate(found)

    def boxes(self, samples: list[Sample], source: str, maps: dict[str, BoxMap]) -> Boxed:
        """The boxes of samples: those of their file, else the detector's."""
        if source not in self.detectors:
            return boxes_for(samples, source)
        track = tracked("finding boxes")
        about = [self._about(samples, source), {name: box_map.model_dump() for name, box_map in maps.items()}]
        found = remembered(
            self.cache, f"boxes-{source}", about,
            lambda: _written(samples, boxes_for(samples, source, self.detectors[source], maps, track)),
        )  # fmt: skip
        pairs = [(sample, Box(*box)) for sample, box in zip(samples, found["boxes"], strict=True) if box]
        kept, boxes = tuple(sample for sample, _ in pairs), tuple(box for _, box in pairs)
        return Boxed(kept, boxes, tuple(found["dropped"]), found["source"])

    def _about(self, samples: list[Sample], name: str) -> list[object]:
        model = identity(self.yunet) if name == "yunet" and self.yunet else None
        return [name, model, [(identity(s.path), s.box and dataclasses.astuple(s.box)) for s in samples]]


def _written(samples: list[Sample], boxed: Boxed) -> dict[str, object]:
    """JSON of what was found: a box or null for each sample; names may repeat, so samples are told by identity."""
    box_of = {id(sample): dataclasses.astuple(box) for sample, box in zip(boxed.samples, boxed.boxes, strict=True)}
    boxes = [box_of.get(id(sample)) for sample in samples]
    return {"boxes": boxes, "dropped": boxed.dropped, "source": boxed.source}


def _fit_maps(samples: list[Sample], finder: _Finder, source: str) -> tuple[dict[str, BoxMap], tuple[str, ...]]:
    """Box maps of all detectors; one that finds no face matters only where its boxes are asked for."""
    maps, notes = {}, []
    for name in finder.detectors:
        try:
            maps[name] = finder.fit(samples, name)
        except InputError as error:
            if name == source:
                raise
            notes.append(f"the model gets no box map for {name}: {error}")
    return maps, tuple(notes)


def _of_unlabelled(
    pools: Pools, source: str, finder: _Finder, maps: dict[str, BoxMap]
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
        boxed = finder.boxes(others, "file" if source == "gt" else source, maps)
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
