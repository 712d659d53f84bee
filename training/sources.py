"""The data sets of a run: one, or for cross-protocol training several with a landmark schema each, joined.

Every sample of a joined run has all points, of which only its own data set's are annotated. The parts stand in the
order of their labels, so a run has the same network whichever of its data sets is --data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lmdeploy.dataset import Sample
from lmdeploy.errors import DataError, InputError
from lmdeploy.parts import MARK, Part, join, named, place
from lmdeploy.schema import LandmarkSchema, load_schema
from training.data.boxes import Boxes, find_boxes
from training.data.pools import Pools, read_pools
from training.data.published import Copies, Data, gather, gather_also, published
from training.methods import METHODS

if TYPE_CHECKING:
    from training.job import Request

GIVE = "give --also FOLDER SCHEMA for each further one"


@dataclass(frozen=True, slots=True)
class Sources:
    """target: label of --data. folders, schemas: of every data set, by label."""

    target: str
    folders: dict[str, Path]
    schemas: dict[str, LandmarkSchema]

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of the joined schema; none where there is one data set."""
        return place(self.schemas) if len(self.schemas) > 1 else ()

    @property
    def landmarks(self) -> LandmarkSchema:
        """The joined schema, or the only one."""
        return join(self.parts) if self.parts else self.schemas[self.target]


def sources_of(request: Request) -> Sources:
    """What the request names, before anything is read.

    Errors: InputError for several data sets where the method takes one, one where it needs several, a folder or a
    label that comes twice, and an unknown schema.
    """
    recipe = request.recipe
    if recipe.data is not None:
        sources = _published(recipe.data, request)
    else:
        given = [(request.data, request.schema), *request.also]
        sources = _by_label([(folder, *named(schema)) for folder, schema in given])
    several = METHODS[recipe.method].several
    if len(sources.folders) > 1 and not several:
        fitting = ", ".join(name for name, method in METHODS.items() if method.several)
        raise InputError(f"{recipe.method} trains on one data set: drop --also, or choose {fitting}")
    if several and len(sources.folders) < 2:
        raise InputError(f"{recipe.method} trains on several data sets: {GIVE}")
    return sources


def read(request: Request, sources: Sources) -> tuple[Pools, Boxes, tuple[Part, ...]]:
    """The images of all data sets with their boxes; points are joined ones, and the parts know their detectors."""
    found = {label: _one(request, sources, label) for label in sources.folders}
    if not sources.parts:
        return *found[sources.target], ()
    parts = tuple(part.model_copy(update={"detectors": found[part.label][1].maps}) for part in sources.parts)
    pools, boxes = found[sources.target]
    count = sources.landmarks.points
    used = [_spread(s, part, count) for part in parts for s in found[part.label][0].labelled]
    boxed = [_spread(s, part, count) for part in parts for s in found[part.label][1].labelled]
    notes = tuple(f"{label}: {note}" for label, (pool, _) in found.items() for note in pool.notes)
    more = tuple(f"{label}: {note}" for label, (_, box) in found.items() for note in box.notes)
    return replace(pools, labelled=tuple(used), notes=notes), replace(boxes, labelled=boxed, notes=more), parts


def _one(request: Request, sources: Sources, label: str) -> tuple[Pools, Boxes]:
    """The images of one data set; of all but --data every image counts as labelled."""
    data, folder, target = request.recipe.data, sources.folders[label], label == sources.target
    if data is not None:
        if not target:
            return gather_also(next(other for other in data.also or () if other.label == label), folder)
        return gather(data, Copies(folder, request.unlabelled, request.labelled), request.seed)
    needs_more = METHODS[request.recipe.method].needs_unlabelled(request.recipe.options)
    labelled, unlabelled = (request.labelled, request.unlabelled) if target else (None, ())
    try:
        pools = read_pools(folder, labelled, unlabelled, sources.schemas[label], request.seed)
    except (InputError, DataError) as error:
        if len(sources.folders) == 1:
            raise
        raise InputError(f"{label} ({folder}): {error}") from error
    cache = request.out / "cache"
    return pools, find_boxes(pools, request.boxes, request.yunet, unlabelled=needs_more, cache=cache)


def _published(data: Data, request: Request) -> Sources:
    """The recipe's sets; --also says where the user's copy of each further one lies."""
    copies, wanted = {name: folder for folder, name in request.also}, [other.set for other in data.also or ()]
    if sorted(copies) != sorted(wanted) or len(copies) != len(request.also):
        asked = " ".join(f"--also FOLDER {name}" for name in wanted) or "no --also"
        raise InputError(f"the recipe's further data sets are {', '.join(wanted) or 'none'}: give {asked}")
    schema = load_schema(published(data.set).schema or request.schema)
    others = [(copies[other.set], other.label, published(other.set).schema) for other in data.also or ()]
    return _by_label([(request.data, schema.name, schema), *((a, b, load_schema(c or b)) for a, b, c in others)])


def _by_label(given: Sequence[tuple[Path, str, LandmarkSchema]]) -> Sources:
    folders: dict[str, Path] = {}
    for folder, label, _ in given:
        if label in folders:
            raise InputError(f"two data sets are called {label}: tell them apart, as {label}{MARK}NAME")
        if folder.resolve() in {other.resolve() for other in folders.values()}:
            raise InputError(f"{folder} is given twice: a data set belongs to one schema")
        folders[label] = folder
    return Sources(given[0][1], folders, {label: schema for _, label, schema in given})


def _spread(sample: Sample, part: Part, count: int) -> Sample:
    """The sample with all points, of which only the part's are annotated."""
    points = np.full((count, 2), np.nan, np.float32)
    points[part.rows] = sample.points
    return replace(sample, points=points)
