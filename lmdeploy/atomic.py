"""Files that are there complete or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from lmdeploy.bundle import sync_folder, write_synced
from lmdeploy.errors import InputError


def check_place(path: Path) -> None:
    """Refuse, before hours of work, a place that could not be written after them; what is there does not matter."""
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise InputError(f"{path} cannot be written ({above} is no folder that takes files); choose another place")


def check_file(path: Path) -> None:
    """As check_place, and no folder stands there; the empty name is that of the present folder."""
    check_place(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the name of a file")


def write_file(path: str | Path, content: bytes) -> None:
    """Write a file through a sibling temporary name, flushed to the disk, then renamed over `path`.

    InputError when the folder cannot be written to; what stood at `path` before is then untouched.
    """
    path = Path(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_synced(draft, content)
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise InputError(f"{path} cannot be written ({error.strerror}); choose another place") from error
    sync_folder(path.parent)
