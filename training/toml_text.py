"""Values as TOML text; the standard library only reads it."""

from __future__ import annotations

import json
import re
from typing import Any

BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(value: dict[str, Any]) -> str:
    """TOML of nested dicts of text, numbers, truth values and lists; a None is left out: TOML has none."""
    return "\n".join(_table(value, ())) + "\n"


def _table(value: dict[str, Any], path: tuple[str, ...]) -> list[str]:
    """Plain values first, then sub-tables under their headings."""
    inner = {key: item for key, item in value.items() if isinstance(item, dict) and len(path) == 0}
    lines = [f"{_key(k)} = {_value(v)}" for k, v in value.items() if k not in inner and v is not None]
    for key, item in inner.items():
        lines += ["", f"[{_key(key)}]", *_table(item, (*path, key))]
    return lines


def _key(name: str) -> str:
    return name if BARE.fullmatch(name) else json.dumps(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dict):
        pairs = ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items() if v is not None)
        return "{ " + pairs + " }" if pairs else "{}"
    return f"[{', '.join(_value(item) for item in value)}]"
