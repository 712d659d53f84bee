"""A recipe: one complete TOML file -> frozen, validated configuration of a training run.

    method = "stld"
    codec = "subpixel"
    [network] [crop] [schedule] [augment] [options]

[options] belongs to the method (its Config). An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import difflib
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from lmdeploy.errors import InputError
from lmdeploy.geometry import CropRule
from training.augment import config
from training.codec import CODECS, OF_NETWORK
from training.engine.fit import Schedule
from training.methods import METHODS
from training.models import CONFIGS, NetworkConfig, heatmap

T = TypeVar("T", bound=BaseModel)


class Recipe(BaseModel):
    """Everything that decides a run beside its data and its seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    name: str = "detector"
    codec: str = "subpixel"
    network: NetworkConfig = heatmap.Config()
    crop: CropRule = CropRule()
    schedule: Schedule = Schedule()
    augment: config.Config = config.Config()
    options: dict[str, Any] = {}

    def method_config(self) -> BaseModel:
        """The method's own frozen Config."""
        return _validate(METHODS[self.method].config, self.options, self.method)


def built_in() -> list[str]:
    """Names of the recipes that ship with the package."""
    folder = resources.files("training") / "recipes"
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


def load(ref: str) -> Recipe:
    """A recipe by name (every method has one of its own name) or from a TOML file."""
    if ref in built_in():
        return parse((resources.files("training") / "recipes" / f"{ref}.toml").read_text(encoding="utf-8"), ref)
    path = Path(ref)
    if path.suffix != ".toml" or not path.is_file():
        near = difflib.get_close_matches(ref, built_in(), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"{ref!r} is neither a recipe file nor one of: {', '.join(built_in())}{hint}")
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
    if recipe.codec not in CODECS:
        raise InputError(f"{origin}: codec {recipe.codec!r} is none of {', '.join(sorted(CODECS))}")
    if recipe.codec not in OF_NETWORK[recipe.network.kind]:
        fitting = " or ".join(OF_NETWORK[recipe.network.kind])
        raise InputError(
            f"{origin}: codec {recipe.codec!r} does not fit a {recipe.network.kind} network; use {fitting}"
        )
    if recipe.crop.size % 32:
        raise InputError(f"{origin}: crop.size is {recipe.crop.size}; it must be a multiple of 32")
    recipe.method_config()
    return recipe


def _validate(model: type[T], value: dict[str, Any], origin: str) -> T:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part not in CONFIGS)
        if first["type"] != "extra_forbidden":
            raise InputError(f"{origin}: {where}: {first['msg']}") from error
        near = difflib.get_close_matches(str(first["loc"][-1]), _fields(model, first["loc"][:-1]), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"{origin}: {where!r} is not a field of {model.__module__}.{model.__name__}{hint}") from error


def _fields(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    for part in loc:
        if part == "network":
            continue
        if part in CONFIGS:  # the kind of network, which pydantic puts into the path after `network`
            model = CONFIGS[str(part)]
            continue
        inner = model.model_fields[str(part)].annotation
        assert isinstance(inner, type)
        assert issubclass(inner, BaseModel)
        model = inner
    return list(model.model_fields)
