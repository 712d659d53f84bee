"""JSON from strangers: whatever two readers could understand differently, or could choke on, is refused."""

from __future__ import annotations

import json
import math
from typing import Any

DEEPEST = 32  # levels; bundle.json has seven and what a recipe adds


def parse_strict(raw: bytes) -> Any:
    """The value of UTF-8 JSON; ValueError says what is wrong.

    Refused beside broken JSON: a key that stands twice, NaN and infinities (also by overflow), half a surrogate pair,
    control characters in keys, and more than DEEPEST levels.
    """
    try:
        value = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_not_a_number, parse_float=_finite
        )
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    _check(value, 0)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands in it twice")
    if not all(key.isprintable() for key in value):
        raise ValueError("a key holds control characters")
    return value


def _not_a_number(name: str) -> float:
    raise ValueError(f"{name} is not a number in JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("a number in it is too large")
    return value


def _check(value: Any, level: int) -> None:
    if level > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep")
    if isinstance(value, str) and not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError("a text in it is not Unicode")
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check(part, level + 1)
