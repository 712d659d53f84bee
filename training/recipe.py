"""A recipe: one complete TOML file -> frozen, validated configuration of a training run.

    method = "stld"
    codec = "subpixel"
    [network] [crop] [schedule] [augment] [options]
    [data] [[target]]    only of published cells: which images of which set, and the figures to reproduce

[options] belongs to the method (its Config). An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from lmdeploy.errors import InputError
from lmdeploy.geometry import CropRule
from training.augment import config
from training.codec import CODECS
from training.data import published
from training.engine.fit import Schedule
from training.methods import METHODS
from training.models import KINDS, NetworkConfig, heatmap

T = TypeVar("T", bound=BaseModel)


class Recipe(BaseModel):
    """Everything that decides a run beside its seed and, unless it has [data], its data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    name: str = "detector"
    codec: str = "subpixel"
    network: NetworkConfig = heatmap.Config()
    crop: CropRule = CropRule()
    schedule: Schedule = Schedule()
    augment: config.Config = config.Config()
    options: dict[str, Any] = {}
    data: published.Data | None = None
    target: tuple[published.Target, ...] = ()

    def method_config(self) -> BaseModel:
        """The method's own frozen Config."""
        return _validate(METHODS[self.method].config, self.options, self.method)


def built_in() -> list[str]:
    """Names of the recipes that ship with the package; those of published cells look like paper/set_ratio/method."""
    return sorted(_names(resources.files("training") / "recipes", ""))


def _names(folder: Traversable, prefix: str) -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _names(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".toml"):
            yield prefix + entry.name.removesuffix(".toml")


def load(ref: str) -> Recipe:
    """A recipe by name (every method has one of its own name) or from a TOML file."""
    names = built_in()
    if ref in names:
        return parse((resources.files("training") / "recipes" / f"{ref}.toml").read_text(encoding="utf-8"), ref)
    path = Path(ref)
    if path.suffix != ".toml" or not path.is_file():
        near = difflib.get_close_matches(ref, names, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        own, cells = ([name for name in names if ("/" in name) is nested] for nested in (False, True))
        more = f", nor one of the {len(cells)} published cells such as {cells[0]}" if cells else ""
        raise InputError(f"{ref!r} is neither a recipe file nor one of: {', '.join(own)}{more}{hint}")
    return parse(path.read_text(encoding="utf-8"), str(path))


def parse(text: str, origin: str) -> Recipe:
    """A recipe from TOML text."""
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{origin}: not valid TOML ({error})") from error
    return checked(_validate(Recipe, value, origin), origin)


def checked(recipe: Recipe, origin: str) -> Recipe:
    """The recipe, after checks that cross its parts."""
    if recipe.method not in METHODS:
        raise InputError(f"{origin}: method {recipe.method!r} is none of {', '.join(sorted(METHODS))}")
    kinds = METHODS[recipe.method].networks
    if recipe.network.kind not in kinds:
        raise InputError(
            f"{origin}: {recipe.method} trains no {recipe.network.kind} network; set network.kind to "
            f"{' or '.join(map(repr, kinds))}"
        )
    if recipe.codec not in CODECS:
        raise InputError(f"{origin}: codec {recipe.codec!r} is none of {', '.join(sorted(CODECS))}")
    if recipe.codec not in recipe.network.codecs:
        fitting = " or ".join(recipe.network.codecs)
        raise InputError(
            f"{origin}: codec {recipe.codec!r} does not fit a {recipe.network.kind} network; use {fitting}"
        )
    _check_size(recipe, origin)
    if recipe.data is not None:
        published.check(recipe.data, recipe.crop, origin)
    recipe.method_config()
    return recipe


def _check_size(recipe: Recipe, origin: str) -> None:
    try:
        recipe.network.check(recipe.crop.size)
    except InputError as error:
        raise InputError(f"{origin}: {error}") from error


def _validate(model: type[T], value: dict[str, Any], origin: str) -> T:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        # a misspelt field is missing too; the word that is there says more
        first = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")[0]
        where = ".".join(str(part) for part in first["loc"] if part not in KINDS)
        if first["type"] != "extra_forbidden":
            raise InputError(f"{origin}: {where}: {first['msg']}") from error
        near = difflib.get_close_matches(str(first["loc"][-1]), _fields(model, first["loc"][:-1]), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"{origin}: {where!r} is not a field of {model.__module__}.{model.__name__}{hint}") from error


def _fields(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    for part in loc:
        if part == "network" or isinstance(part, int):
            continue
        if part in KINDS:  # the kind of network, which pydantic puts into the path after `network`
            model = KINDS[part].config
            continue
        model = next(_tables(model.model_fields[part].annotation))
    return list(model.model_fields)


def _tables(annotation: Any) -> Iterator[type[BaseModel]]:
    """The table's model; an optional table or a list of tables stands in a union or a tuple."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _tables(inner)
