"""A recipe's [data] table: which images of which published set a table's cell was made of, and how it is measured.

set = "300w"             one of SETS, or coco:SCHEMA; --data is the user's copy
split = "train"          where labelled images, and those that count as unlabelled, are taken from
labelled = 315           so many drawn by the seed (nested: fewer are part of more), "all", or a file of names
unlabelled = "rest"      the split's other images, "none", or another set, whose copy --unlabelled gives
crop = "stld_300w"       crop policy of all images of `set`
test = ["full"]          splits to measure on; the first one is measured after every round
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from lmdeploy import split
from lmdeploy.boxes import fit_detector
from lmdeploy.dataset import Loaded, Sample, read_list, select
from lmdeploy.detect import open_detector
from lmdeploy.errors import InputError
from lmdeploy.geometry import BoxMap, CropRule
from training.data.boxes import FIT_ON, Boxes
from training.data.pools import Pools, without_labels
from training.data.sets import open_set
from training.data.sets.base import DataSet, load
from training.data.sets.policy import POLICIES, whole_image


class Other(BaseModel):
    """Another set that the unlabelled images are of; `count` are drawn by the seed, 0 means all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    set: str
    split: str
    count: int = Field(default=0, ge=0)
    crop: str


class Also(BaseModel):
    """A further set, all of whose split is labelled: what cross-protocol training joins to the first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    set: str
    split: str = "train"
    crop: str

    @property
    def label(self) -> str:
        """What its part is called: its schema."""
        return published(self.set).schema or self.set


class Measured(BaseModel):
    """Another set to measure on, whose copy --unlabelled gives.

    subset: of its points, by name (metrics.SUBSETS). threshold: of FR and AUC, per cent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    set: str
    crop: str
    subset: str
    threshold: float = Field(gt=0)


class Data(BaseModel):
    """Data set, labelled and unlabelled images, crop policies, and how the result is measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    set: str
    split: str = "train"
    labelled: int | str = "all"
    unlabelled: Literal["rest", "none", "other"] = "rest"
    other: Other | None = None
    crop: str
    also: tuple[Also, ...] | None = None
    measured: Measured | None = None
    test: tuple[str, ...] = Field(min_length=1)
    frame: Literal["crop", "image"] = "crop"
    normaliser: str

    @model_validator(mode="after")
    def _other_where_it_is_used(self) -> Data:
        if (self.unlabelled == "other") != (self.other is not None):
            raise ValueError('unlabelled = "other" and the table data.other belong together')
        return self


class Target(BaseModel):
    """A published figure that the recipe is to reproduce, on the first test split where `split` names none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    paper: str
    table: str
    row: str
    metric: Literal["nme", "auc", "fr", "mre_mm"]
    unit: str
    value: float
    split: str | None = None


@dataclass(frozen=True, slots=True)
class Copies:
    """The user's copies: root of the set, roots given with --unlabelled, and another labelled list or count."""

    root: Path
    unlabelled: tuple[Path, ...] = ()
    labelled: str | None = None


def check(data: Data, crop: CropRule, origin: str) -> None:
    """InputError where a crop policy is unknown or does not fit the recipe's [crop] (whose size is free)."""
    for name in (data.crop, *([data.other.crop] if data.other else []), *(other.crop for other in data.also or ())):
        if name not in POLICIES:
            raise InputError(f"{origin}: {name!r} is no crop policy: choose one of {', '.join(sorted(POLICIES))}")
    for name in (data.crop, *(other.crop for other in data.also or ())):
        rule = POLICIES[name].rule
        if (rule.kind, rule.scale) != (crop.kind, crop.scale):
            raise InputError(f"{origin}: crop policy {name!r} needs crop.kind {rule.kind!r}, crop.scale {rule.scale}")


def published(name: str) -> DataSet:
    """The set of that name, or coco:SCHEMA."""
    return open_set(name)


def gather(data: Data, copies: Copies, seed: int) -> tuple[Pools, Boxes]:
    """Samples of a run with the boxes to crop, the detectors' maps to them, and notes for the user."""
    source = published(data.set)
    loaded = load(source, copies.root, data.split, data.crop)
    samples = loaded.checked()
    labelled = _labelled(samples, copies.labelled or data.labelled, seed)
    names = {sample.name for sample in labelled}
    hidden = [s for s in samples if s.name not in names] if data.unlabelled == "rest" else []
    others, more_notes = _others(data, copies, seed)
    notes = [
        f"{source.title}: {len(labelled)} labelled images, {len(hidden) + len(others)} unlabelled",
        f"boxes: crop policy {data.crop} ({POLICIES[data.crop].source}), of unlabelled images of the set too",
        *more_notes,
    ]
    expected = source.splits[data.split]
    if expected is not None and expected != len(samples):
        notes.append(f"{source.title} {data.split} has {len(samples)} samples, published are {expected}")
    pools = Pools(tuple(labelled), tuple(hidden), tuple(others), tuple(notes))
    maps, more = _map(labelled[:FIT_ON], "whole_image" if data.crop.startswith("whole") else "haar")
    return pools, Boxes(labelled, without_labels([*hidden, *others]), maps, more)


def gather_also(other: Also, root: Path) -> tuple[Pools, Boxes]:
    """As `gather`, of a further set; all of its split counts as labelled."""
    source = published(other.set)
    samples = load(source, root, other.split, other.crop).checked()
    notes = (f"{source.title}: {len(samples)} labelled images", f"boxes: crop policy {other.crop}")
    maps, more = _map(samples[:FIT_ON], "whole_image" if other.crop.startswith("whole") else "haar")
    return Pools(tuple(samples), (), (), notes), Boxes(samples, [], maps, more)


def samples_of(data: Data, root: Path, name: str) -> list[Sample]:
    """Labelled samples of a test split with the boxes to crop; root: the copy of the set that is measured on."""
    of = data.measured or data
    return load(published(of.set), root, name, of.crop).checked()


def measured_at(data: Data, root: Path, unlabelled: tuple[Path, ...]) -> Path:
    """The user's copy of the set that is measured on."""
    return root if data.measured is None else unlabelled[0]


def _labelled(samples: list[Sample], which: int | str, seed: int) -> list[Sample]:
    if which == "all":
        return samples
    if isinstance(which, str) and not which.isdigit():
        return select(samples, read_list(which))
    return select(samples, split.draw(samples, int(which), seed))


def _others(data: Data, copies: Copies, seed: int) -> tuple[list[Sample], list[str]]:
    """The other set's images; none where the recipe takes its unlabelled images from the split or needs none."""
    if data.other is None:
        if copies.unlabelled:
            raise InputError(
                f"the recipe's unlabelled images are {data.unlabelled!r} of {data.set}: drop --unlabelled"
            )
        return [], []
    other, wanted = published(data.other.set), data.other
    if len(copies.unlabelled) != 1:
        raise InputError(f"the recipe needs the unlabelled images of {other.title}: give --unlabelled and its folder")
    bare: list[Sample] = []

    def read(root: Path, name: str) -> Loaded:
        raw = other.read(root, name)
        bare.extend(s for s in raw.samples if _cannot_be_cropped(s, wanted.crop))
        return replace(raw, samples=tuple(s for s in raw.samples if not _cannot_be_cropped(s, wanted.crop)))

    samples = load(replace(other, read=read), copies.unlabelled[0], wanted.split, wanted.crop).checked()
    chosen = select(samples, split.draw(samples, wanted.count, seed)) if wanted.count else samples
    return chosen, [f"{other.title}: {len(bare)} images without a box, dropped"] if bare else []


def _cannot_be_cropped(sample: Sample, policy: str) -> bool:
    return sample.box is None and sample.points is None and POLICIES[policy].frame is not whole_image


def _map(samples: list[Sample], name: str) -> tuple[dict[str, BoxMap], tuple[str, ...]]:
    """The map from a detector's boxes to the policy's, so that the model can be used on other pictures."""
    # A box's corners as points: the detector is fitted to what the policy crops, not to the landmarks' own box
    boxed = [
        replace(s, points=np.array([[s.box.x0, s.box.y0], [s.box.x1, s.box.y1]], np.float32)) for s in samples if s.box
    ]
    try:
        return {name: fit_detector(boxed, open_detector(name))}, ()
    except InputError as error:
        return {}, (f"the model gets no box map for {name}: {error}",)
