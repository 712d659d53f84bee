"""Results that take long to find and that a resumed run, or the next process of the same run, need not find again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmdeploy.atomic import write_file
from training.engine import processes


def remembered(folder: Path | None, name: str, of: Any, find: Callable[[], Any]) -> Any:
    """What find() gives, from the file in `folder` where the same was found before.

    Args:
        folder: the run's cache; None remembers nothing.
        name: of the file, for people.
        of: JSON value of everything that the result depends on.
        find: gives a JSON value; of several processes only the first one calls it.
    """
    if folder is None:
        return find()
    digest = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:16]
    file = folder / f"{name}-{digest}.json"
    if not file.is_file() and processes.first():
        folder.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps(find()).encode())
    processes.barrier()
    return json.loads(file.read_text(encoding="utf-8"))


def identity(file: Path) -> tuple[str, int, int]:
    """Name, size and time of a file: what changes with its content."""
    stat = file.stat()
    return str(file), stat.st_size, stat.st_mtime_ns
