"""site.toml: what a site was declared to do, before any refresh ran."""

from __future__ import annotations

import difflib
import json
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lmdeploy.atomic import write_file
from lmdeploy.errors import InputError
from lmdeploy.site import audit
from lmdeploy.site.gate import GateRule
from lmdeploy.site.lock import writer

FILE = "site.toml"


class Split(BaseModel):
    """Names of the anchor's images: `train` goes into every refresh, `gate` only ever judges."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: tuple[str, ...]
    gate: tuple[str, ...]


class SiteConfig(BaseModel):
    """The content of site.toml.

    factory: digest of the bundle that every refresh starts from. landmarks: schema name, or `schema.toml` beside this
    file. collecting: `on_request` (only an explicit `site collect` collects), `on` (a serving process may, too) or
    `off` (nobody may). quota_mb: all stored frames together; reserve_mb: free disk space that collecting leaves.
    min_score: least mean score of a frame that is kept. max_residual: largest ELT residual (lmdeploy.quality) of a
    frame that a refresh takes, per cent of the crop's side; 0 takes all. duplicate_bits: frames whose fingerprints
    differ in at most so many of 64 bits count as the same picture; anchor_bits: the same against the anchor, wider
    because a leak costs more than a lost frame. max_frames: of one refresh. recipe: `recipe.toml` beside this file, or
    "" for the recipe `refresh` of the package. command: how to call lmdeploy for training and export, e.g. the python
    of an environment with torch, "-m", "lmdeploy"; empty for this one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = Field(default=1, le=1)
    name: str
    factory: str = Field(pattern="^[0-9a-f]{64}$")
    landmarks: str
    anchor_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    collecting: Literal["on_request", "on", "off"] = "on_request"
    quota_mb: float = Field(default=2000.0, gt=0)
    reserve_mb: float = Field(default=500.0, ge=0)
    min_score: float = Field(default=0.3, ge=0, le=1)
    # face68 has 0.5 to 1.2 % on faces, 9 to 13 % on noise.
    max_residual: float = Field(default=4.0, ge=0, allow_inf_nan=False)
    duplicate_bits: int = Field(default=6, ge=0, le=64)
    anchor_bits: int = Field(default=10, ge=0, le=64)
    max_frames: int = Field(default=2000, gt=0)
    seed: int = 0
    recipe: str = ""
    command: tuple[str, ...] = ()
    gate: GateRule = GateRule()
    split: Split


def read_config(site: Path) -> SiteConfig:
    """The site's declaration; InputError names the wrong key and the likely right one."""
    path = site / FILE
    if not path.is_file():
        raise InputError(f"{site}: no {FILE}, so this is not a site; make one with 'lmdeploy site init'")
    try:
        return SiteConfig.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid TOML ({error}); mend it by hand") from error
    except ValidationError as error:
        raise InputError(f"{path}: {_explain(error)}") from error


def write_config(site: Path, config: SiteConfig) -> None:
    """Replace site.toml in one step."""
    write_file(site / FILE, to_toml(config.model_dump(mode="json")).encode())


def set_collecting(site: Path, state: Literal["on", "off"]) -> None:
    """Let serving processes collect, or forbid all collecting; the change stands in the log."""
    with writer(site, "config"):
        write_config(site, read_config(site).model_copy(update={"collecting": state}))
        audit.append(site, "collecting", {"state": state})


def to_toml(value: dict[str, Any], prefix: str = "") -> str:
    """TOML of scalars, lists and tables; `prefix` is the name of the table that `value` is, with its dot.

    >>> print(to_toml({"a": [1, {"c": 2}], "t": {"b": "x"}}))
    a = [1, { c = 2 }]
    <BLANKLINE>
    [t]
    b = "x"
    <BLANKLINE>
    """
    plain = {k: v for k, v in value.items() if not isinstance(v, dict)}
    tables = {k: v for k, v in value.items() if isinstance(v, dict)}
    parts = ["".join(f"{k} = {_literal(v)}\n" for k, v in plain.items() if v is not None)]
    parts += [f"[{prefix}{name}]\n" + to_toml(table, f"{prefix}{name}.") for name, table in tables.items()]
    return "\n".join(parts)


def _literal(value: Any) -> str:
    """JSON's strings, numbers and booleans are TOML's, but for the delete character."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_literal, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_literal(v)}" for k, v in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        return f"{where}: {first['msg']}"
    known = [*SiteConfig.model_fields, *GateRule.model_fields, *Split.model_fields]
    near = difflib.get_close_matches(str(first["loc"][-1]), known, 1)
    return f"{where!r} is not a field of a site" + (f"; did you mean {near[0]!r}?" if near else "")
