"""Files and folders that appear whole or not at all, also when the power fails.

Every change is prepared under a hidden name that ends in `.part`, flushed to the disk, and then renamed; the folder
is flushed too, because a rename is only kept once its folder is. What a kill leaves behind ends in `.part` or `.gone`
and is swept by the next writer. Single files are written by lmdeploy.atomic.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from lmdeploy.atomic import write_file
from lmdeploy.bundle import sync_folder
from lmdeploy.errors import InputError

LEFTOVERS = (".part", ".gone")


def replace_json(path: Path, value: Any) -> None:
    """Replace a file by sorted, indented JSON, so that equal values are equal bytes."""
    write_file(path, (json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1) + "\n").encode())


def read_json(path: Path, advice: str) -> Any:
    """Parse a JSON file of ours; InputError with `advice` when it is missing or damaged."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); {advice}") from error


def publish_folder(draft: Path, path: Path) -> None:
    """Flush every file of `draft` and rename it to `path`, which must not exist or be an empty folder."""
    for folder in [draft, *(p for p in draft.rglob("*") if p.is_dir())]:
        for file in folder.iterdir():
            if file.is_file():
                _flush(file)
        sync_folder(folder)
    draft.rename(path)
    sync_folder(path.parent)


def remove_folder(path: Path) -> None:
    """Take a folder away in one step (a rename), then free its space."""
    if not path.exists():
        return
    gone = path.with_name(f".{path.name}.{os.getpid()}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    path.rename(gone)
    sync_folder(path.parent)
    shutil.rmtree(gone, ignore_errors=True)


def sweep(folder: Path) -> int:
    """Remove what an interrupted writer left directly in `folder`; returns how many entries that were.

    To be called by the only writer of that folder, under its lock.
    """
    left = [p for p in folder.iterdir() if p.name.startswith(".") and p.suffix in LEFTOVERS] if folder.is_dir() else []
    for entry in left:
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    return len(left)


def link_or_copy(source: Path, target: Path) -> None:
    """A second name for an immutable file, or a copy where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _flush(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
