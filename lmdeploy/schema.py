"""Landmark schemas as data: what the K points are, how they mirror, how they are joined and normalised.

Built-in ones (BUILT_IN) are TOML files in lmdeploy/schemas; a user's own schema is a file of the same form, given by
its path.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lmdeploy.errors import InputError

BUILT_IN = (
    "aflw19", "blocks6", "cofw29", "face5", "hand37", "hgr25", "ibug49", "ibug68", "shapes2", "wflw98",
)  # fmt: skip


class Normaliser(BaseModel):
    """What an error is divided by.

    kind `distance`: |mean of points a - mean of points b|; `box`: sqrt(w h) of the box; `image`: the crop's side.
    length_mm: the true length of that distance, where one is assumed (hand X-rays: 50 mm of wrist).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["distance", "box", "image"]
    name: str
    a: tuple[int, ...] = ()
    b: tuple[int, ...] = ()
    length_mm: Annotated[float, Field(gt=0)] | None = None


class LandmarkSchema(BaseModel):
    """K named points. Indices are 0-based; left and right are as seen in the image."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    points: int = Field(gt=0)
    names: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...] = ()
    mirror: bool = True
    skeleton: tuple[tuple[int, ...], ...] = ()
    normaliser: Normaliser

    @model_validator(mode="after")
    def _consistent(self) -> LandmarkSchema:
        used = [i for pair in self.flip_pairs for i in pair]
        indices = [*used, *(i for line in self.skeleton for i in line), *self.normaliser.a, *self.normaliser.b]
        if len(self.names) != self.points:
            raise ValueError(f"{len(self.names)} names for {self.points} points")
        if any(not 0 <= i < self.points for i in indices):
            raise ValueError(f"an index lies outside 0..{self.points - 1}")
        if len(set(used)) != len(used):
            raise ValueError("a point stands in two flip pairs")
        if self.normaliser.kind == "distance" and not (self.normaliser.a and self.normaliser.b):
            raise ValueError("a distance normaliser needs points in both a and b")
        return self

    @property
    def flip_index(self) -> tuple[int, ...]:
        """Index i of the mirrored image holds the point flip_index[i] of the original; an involution."""
        order = list(range(self.points))
        for a, b in self.flip_pairs:
            order[a], order[b] = b, a
        return tuple(order)


def load_schema(name_or_path: str | Path) -> LandmarkSchema:
    """A built-in schema by name, or a user's own from a TOML file.

    Args:
        name_or_path: one of BUILT_IN, or a file of the same form.
    Errors: InputError for an unknown name, or a file that is no schema, with what is wrong in it.

    >>> load_schema("ibug68").flip_index[0]
    16
    """
    text = str(name_or_path)
    if text in BUILT_IN:
        return _built_in(text)
    path = Path(text)
    if not path.is_file():
        raise InputError(f"schema {text!r} is neither one of {', '.join(BUILT_IN)} nor a TOML file")
    return _parse(path.read_text(encoding="utf-8"), str(path))


@cache
def _built_in(name: str) -> LandmarkSchema:
    return _parse((resources.files("lmdeploy") / "schemas" / f"{name}.toml").read_text(encoding="utf-8"), name)


def _parse(text: str, origin: str) -> LandmarkSchema:
    try:
        return LandmarkSchema.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"schema {origin}: not valid TOML ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "schema"
        raise InputError(f"schema {origin}: {where}: {first['msg']}") from error
