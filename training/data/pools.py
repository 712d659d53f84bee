"""Which images count as labelled and which as unlabelled in a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lmdeploy import split
from lmdeploy.dataset import Sample, read_labelled, read_list, read_unlabelled, select
from lmdeploy.errors import InputError
from lmdeploy.schema import LandmarkSchema


@dataclass(frozen=True, slots=True)
class Pools:
    """The samples of a run.

    labelled: their labels are used. hidden: labelled samples that count as unlabelled; their labels are never trained
    on. unlabelled: samples without labels. notes: what to tell the user.
    """

    labelled: tuple[Sample, ...]
    hidden: tuple[Sample, ...]
    unlabelled: tuple[Sample, ...]
    notes: tuple[str, ...]


def read_pools(
    data: Path, labelled: str | None, unlabelled: Sequence[Path], schema: LandmarkSchema, seed: int
) -> Pools:
    """Read the folders.

    Args:
        data: labelled folder.
        labelled: None for all of it, a number (drawn by identity with `seed`), or a file of image names; the other
            labelled images then count as unlabelled.
        unlabelled: further folders.
        schema: landmark schema of the labels.
        seed: of the draw.
    """
    samples = read_labelled(data, schema)
    chosen = samples if labelled is None else _chosen(samples, labelled, seed)
    names = {sample.name for sample in chosen}
    hidden = tuple(sample for sample in samples if sample.name not in names)
    extra = tuple(sample for folder in unlabelled for sample in read_unlabelled(folder))
    notes = (f"{len(chosen)} labelled images, {len(hidden)} whose labels are not used, {len(extra)} without labels",)
    return Pools(tuple(chosen), hidden, extra, notes)


def without_labels(samples: Sequence[Sample]) -> list[Sample]:
    """The same images with their labels taken away."""
    return [replace(sample, points=None) for sample in samples]


def _chosen(samples: list[Sample], labelled: str, seed: int) -> list[Sample]:
    if not labelled.isdigit():
        return select(samples, read_list(labelled))
    if int(labelled) == 0:
        raise InputError("--labelled 0: at least one labelled image is needed")
    return select(samples, split.draw(samples, int(labelled), seed))
