"""Files that can only be written as a whole, from parts that survive a kill.

A format with an end that covers the whole file (COCO's closing brackets, Parquet's footer) is collected in a hidden
folder `.NAME.unfinished` beside it, each part of which is whole by itself. Closing the writer makes the file from the
parts under a draft's name, flushes it to the disk, renames it, and removes the folder. So at the final name stands a
complete file of this run or nothing: a file of an earlier run goes when the writer opens. What a kill leaves in the
folder becomes the file by `recover`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lmdeploy.bundle import sync_folder
from lmdeploy.writers.base import unwritable

Assemble = Callable[[Path, Path], None]
"""Takes the folder with the parts and the path to write."""


def hidden_folder(path: Path) -> Path:
    """Where the parts of a file are."""
    return path.with_name(f".{path.name}.unfinished")


def start(path: Path) -> Path:
    """An empty folder for the parts of the file `path`; InputError when it cannot be made."""
    folder = hidden_folder(path)
    try:
        for old in (folder, _gone(path)):
            if old.exists():
                shutil.rmtree(old)
        path.unlink(missing_ok=True)
        folder.mkdir(parents=True)
    except OSError as error:
        raise unwritable(path, error) from error
    return folder


def finish(path: Path, assemble: Assemble) -> None:
    """Make the file from its parts; InputError, with the parts untouched, when it cannot be written."""
    folder, draft = hidden_folder(path), path.with_name(f".{path.name}.part")
    try:
        assemble(folder, draft)
        with draft.open("rb+") as stream:
            os.fsync(stream.fileno())
        draft.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise unwritable(path, error) from error
    with suppress(OSError):  # the file is there; what cannot be removed now is swept by the next run
        # Renamed first: a kill while it is being removed must not leave half the parts to recover from
        shutil.rmtree(folder.rename(_gone(path)))


def _gone(path: Path) -> Path:
    return path.with_name(f".{path.name}.gone")
