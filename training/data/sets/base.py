"""What a published data set is to this package: names, counts, a reader and a default crop policy.

A reader returns the samples with their points and the data set's own box, both in image px under the package's
convention (an integer is a pixel centre, the first is (0, 0)); each reader's docstring says which base its files
have. Whatever is broken becomes one line in `Loaded.problems`; a folder that is not there at all is an InputError that
shows the layout. `load` then applies a named crop policy, after which `Sample.box` is the box to crop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from lmdeploy.dataset import Loaded, Sample
from lmdeploy.errors import InputError
from lmdeploy.geometry import CropRule
from training.data.sets.image_size import image_size
from training.data.sets.policy import POLICIES, Policy, whole_image

T = TypeVar("T")
Reader = Callable[[Path, str], Loaded]


@dataclass(frozen=True, slots=True)
class DataSet:
    """One published data set.

    name: what the user types. title: its own name. schema: name of a built-in landmark schema, None where it has no
    labels. splits: expected number of samples of each, None where it depends on the copy. read: root and split ->
    samples with the data set's own box (None where it has none). crop: name of the default policy. normaliser: name of
    the error's divisor that papers use on it. layout: what the user's folder must look like. remarks: by split, what
    `lmdeploy data check` says beside its count. make: draws a set that needs no copy into a folder.
    """

    name: str
    title: str
    schema: str | None
    splits: Mapping[str, int | None]
    read: Reader
    crop: str
    normaliser: str
    layout: str
    remarks: Mapping[str, str] = field(default_factory=dict)
    make: Callable[[Path], None] | None = None

    @property
    def rule(self) -> CropRule:
        """Crop rule of the default policy."""
        return POLICIES[self.crop].rule

    def load(self, root: str | Path, split: str) -> Loaded:
        """Samples of a split under the default policy: `Sample.box` is the box to crop with `rule`."""
        return load(self, root, split)


def load(data: DataSet, root: str | Path, split: str, policy: str | None = None) -> Loaded:
    """Samples of a split with the box (and, where the policy clamps, the points) of a crop policy.

    A sample without label and box keeps none: a detector has to find it.

    Args:
        data: one of SETS.
        root: the user's copy.
        split: one of `data.splits`.
        policy: one of POLICIES; default the data set's own.
    Errors: InputError for an unknown split or policy, or when the copy is not there.
    """
    root = Path(root)
    if split not in data.splits:
        raise InputError(f"{data.name} has no split {split!r}: choose one of {', '.join(data.splits)}")
    name = policy or data.crop
    if name not in POLICIES:
        raise InputError(f"{name!r} is no crop policy: choose one of {', '.join(sorted(POLICIES))}")
    if not root.is_dir():
        raise InputError(f"{root}: no such folder. {data.title} is expected as\n{data.layout}")
    raw = data.read(root, split)
    framed = collect(raw.origin, raw.samples, lambda sample: _framed(sample, POLICIES[name]))
    return replace(framed, problems=(*raw.problems, *framed.problems))


def collect(origin: Path, entries: Iterable[T], make: Callable[[T], Sample]) -> Loaded:
    """A sample of every entry; an entry for which `make` raises an InputError becomes a problem line."""
    samples, problems = [], []
    for entry in entries:
        try:
            samples.append(make(entry))
        except InputError as error:
            problems.append(str(error))
    return Loaded(origin, tuple(samples), tuple(problems))


def need_file(path: Path, layout: str) -> Path:
    """The path, or an InputError that shows the layout when there is no such file."""
    if not path.is_file():
        raise InputError(f"{path}: no such file. The data set is expected as\n{layout}")
    return path


def need_folder(path: Path, layout: str) -> Path:
    """The path, or an InputError that shows the layout when there is no such folder."""
    if not path.is_dir():
        raise InputError(f"{path}: no such folder. The data set is expected as\n{layout}")
    return path


def need_image(path: Path, where: str) -> Path:
    """The path, or an InputError that names the row `where` an image stands that is not there."""
    if not path.is_file():
        raise InputError(f"{where}: no such image {path}")
    return path


def _framed(sample: Sample, policy: Policy) -> Sample:
    if sample.points is None and sample.box is None and policy.frame is not whole_image:
        return sample  # a detector has to find it
    size = image_size(sample.path)
    crop = policy.frame(sample.points, sample.box, size, sample.name)
    points = sample.points
    if policy.clamp and points is not None:
        points = np.clip(points, 0, [size[1] - 1, size[0] - 1]).astype(np.float32)
    return replace(sample, box=crop.box, points=points)
