"""Published data sets, as the runtime sees them: found through the entry-point group `lmdeploy.datasets`.

Their readers live in training; this file checks a user's copy against what the set should hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

import numpy as np

from lmdeploy.dataset import Loaded, Sample
from lmdeploy.errors import InputError, MissingExtraError
from lmdeploy.geometry import CropRule
from lmdeploy.images import read_image

GROUP = "lmdeploy.datasets"
DECODERS = 4  # OpenCV decodes outside of Python's lock


class PublishedSet(Protocol):
    """One published data set; `training.data.sets.base.DataSet` is one."""

    @property
    def schema(self) -> str | None:
        """Name of its landmark schema, None where it has no labels or any."""

    @property
    def splits(self) -> Mapping[str, int | None]:
        """Expected number of samples by split, None where it depends on the copy."""

    @property
    def remarks(self) -> Mapping[str, str]:
        """What to say beside the count of a split."""

    @property
    def rule(self) -> CropRule:
        """How `Sample.box` becomes a crop."""

    @property
    def make(self) -> Callable[[Path], None] | None:
        """What draws the set into a folder, None where its authors published files."""

    def load(self, root: str | Path, split: str) -> Loaded:
        """The good samples of a split, with the box to crop, and a line for each broken entry."""


@dataclass(frozen=True, slots=True)
class Report:
    """counts: good samples by split. problems: one line for everything that is to be mended, each once."""

    counts: dict[str, int]
    problems: tuple[str, ...]


def open_set(name: str) -> PublishedSet:
    """A published data set by name; InputError lists the known names."""
    for point in entry_points(group=GROUP):
        found: PublishedSet = point.load()(name)
        return found
    raise MissingExtraError("this installation has no published data sets: pip install 'landmark-deploy[data]'")


def make_set(name: str, out: Path) -> None:
    """Draw a set that needs no copy into `out`, a folder per split; InputError for a set of published files."""
    make = open_set(name).make
    if make is None:
        raise InputError(f"{name} is not drawn: its authors published files, which are read from your own copy")
    make(out)


def check_set(
    data: PublishedSet, root: Path, splits: Sequence[str], tell: Callable[[str], None] = lambda line: None
) -> Report:
    """Read every row and decode every image of a copy; compare the counts with what the set should hold.

    Args:
        data: the set.
        root: the user's copy.
        splits: which; all where empty.
        tell: gets a line for each split as it is done.
    """
    counts, problems, images = {}, list[str](), _Images()
    for split in splits or data.splits:
        try:
            loaded = data.load(root, split)
        except InputError as error:
            problems.append(str(error))
            tell(f"{split}: cannot be read")
            continue
        faults = images.faults(loaded.samples)
        problems += [*loaded.problems, *filter(None, faults)]
        counts[split], expected = faults.count(""), data.splits[split]
        if expected is not None and counts[split] != expected:
            problems.append(f"{split}: {counts[split]} good samples instead of {expected}; complete the copy")
        wanted = "" if expected is None else f" of {expected}"
        remark = f" ({data.remarks[split]})" if split in data.remarks else ""
        tell(f"{split}: {counts[split]}{wanted} samples are good{remark}")
    return Report(counts, tuple(dict.fromkeys(problems)))


class _Images:
    """Decodes each image once, though it may stand in several splits."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, int] | str] = {}

    def faults(self, samples: Sequence[Sample]) -> list[str]:
        """What is wrong with each sample, "" where nothing is."""
        new = [path for path in dict.fromkeys(sample.path for sample in samples) if path not in self._known]
        with ThreadPoolExecutor(DECODERS) as pool:
            self._known.update(zip(new, pool.map(_size, new), strict=True))
        return [_fault(sample, self._known[sample.path]) for sample in samples]


def _size(path: Path) -> tuple[int, int] | str:
    """(height, width), or what is wrong with the file."""
    try:
        height, width = read_image(path).shape[:2]
    except InputError as error:
        return str(error)
    return height, width


def _fault(sample: Sample, size: tuple[int, int] | str) -> str:
    if isinstance(size, str):
        return size
    if sample.points is None:
        return ""
    seen = sample.points[np.isfinite(sample.points).all(axis=1)]
    inside = ((seen >= -0.5) & (seen <= [size[1] - 0.5, size[0] - 0.5])).all(axis=1)
    if len(seen) and 2 * inside.sum() >= len(seen):
        return ""
    return (
        f"{sample.name}: {inside.sum()} of {len(seen)} points lie in the {size[1]} x {size[0]} px of {sample.path}; "
        "the image is another one or of another size"
    )
