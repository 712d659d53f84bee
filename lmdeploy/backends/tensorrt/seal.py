"""A file of one line that says what it is, and the content after it: whole and as written, or refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from lmdeploy.atomic import write_file

LONGEST_HEADER = 65_536  # bytes


def write_sealed(path: Path, about: dict[str, Any], content: bytes) -> None:
    """Write content with its sha256 and `about` in front, all of it or nothing."""
    header = {"about": about, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    write_file(path, json.dumps(header, sort_keys=True).encode() + b"\n" + content)


def read_sealed(path: Path, about: dict[str, Any]) -> bytes | None:
    """The content of a file that says exactly `about` of itself; None when it is missing, cut, altered or another."""
    try:
        with path.open("rb") as stream:
            line = stream.readline(LONGEST_HEADER)
            content = stream.read()
    except OSError:
        return None
    try:
        header = json.loads(line)
    except ValueError:
        return None
    wanted = {"about": about, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return content if header == wanted else None
