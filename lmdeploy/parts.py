"""Several landmark schemas in one network: their points stand one after another, block by block.

Every part has a label, which is what a user asks for: a schema's name (`wflw98`), or that and a name of one's own
(`ibug68@photos`) where two parts share a schema because they were annotated differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from lmdeploy.errors import InputError
from lmdeploy.geometry import BoxMap
from lmdeploy.schema import LandmarkSchema, Normaliser, load_schema

if TYPE_CHECKING:
    from lmdeploy.bundle import ModelSpec

ALL = "all"  # asks for every part's points at once, so no part may be called that
MARK = "@"


class Part(BaseModel):
    """One schema inside a joined one: its points are `first` and those after it.

    detectors: maps from detectors' boxes to the landmark boxes of this part, on which its branch was trained.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    first: int = Field(ge=0)
    landmarks: LandmarkSchema
    detectors: dict[str, BoxMap] = {}

    @property
    def rows(self) -> slice:
        """Its rows of joined points [K,...]."""
        return slice(self.first, self.first + self.landmarks.points)


def named(text: str) -> tuple[str, LandmarkSchema]:
    """Label and schema of what a user types: a built-in schema's name or a TOML file, either with @NAME or without.

    >>> named("ibug68@photos")[0]
    'ibug68@photos'
    """
    # a file's own path may hold the mark
    name, _, mark = (
        (text, "", "") if Path(text).is_file() else text.rpartition(MARK) if MARK in text else (text, "", "")
    )
    if MARK in text and not (name and mark) and not Path(text).is_file():
        raise InputError(f"{text!r} cannot name a data set: give a schema, or SCHEMA{MARK}NAME")
    schema = load_schema(name)
    label = f"{schema.name}{MARK}{mark}" if mark else schema.name
    if label == ALL:
        raise InputError(f"a schema cannot be called {ALL!r}, which asks for every part's points")
    return label, schema


def one_part(spec: ModelSpec, part: Part) -> ModelSpec:
    """The description of a network that finds that part alone."""
    return spec.model_copy(update={"landmarks": part.landmarks, "detectors": part.detectors, "parts": ()})


def place(schemas: Mapping[str, LandmarkSchema]) -> tuple[Part, ...]:
    """Parts by label, one after another in the order of their labels, which no other order of giving them changes."""
    parts: list[Part] = []
    for label in sorted(schemas):
        first = parts[-1].rows.stop if parts else 0
        parts.append(Part(label=label, first=first, landmarks=schemas[label]))
    return tuple(parts)


def join(parts: tuple[Part, ...]) -> LandmarkSchema:
    """The schema of all points: names behind their part's label, twins and lines block by block.

    Errors are divided by each part's own normaliser; the joined one's is the box, for want of a common one.
    """
    return LandmarkSchema(
        name="+".join(part.label for part in parts),
        points=parts[-1].rows.stop,
        names=tuple(f"{part.label}/{name}" for part in parts for name in part.landmarks.names),
        flip_pairs=tuple((a + p.first, b + p.first) for p in parts for a, b in p.landmarks.flip_pairs),
        mirror=all(part.landmarks.mirror for part in parts),
        skeleton=tuple(tuple(i + part.first for i in line) for part in parts for line in part.landmarks.skeleton),
        normaliser=Normaliser(kind="box", name="box size"),
    )


def problem(parts: tuple[Part, ...], landmarks: LandmarkSchema) -> str:
    """Why parts do not make up the schema; empty where they do, or where there are none."""
    if not parts:
        return ""
    placed = place({part.label: part.landmarks for part in parts})
    if [(part.label, part.first) for part in placed] != [(part.label, part.first) for part in parts]:
        return "the parts do not follow one another"
    return "" if join(parts) == landmarks else "the parts are not those of the landmarks"
