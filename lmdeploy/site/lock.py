"""One writer at a time: an advisory lock per kind of work, freed by the system when its holder dies.

Locks are apart by purpose (`collect`, `refresh`, `registry`, `audit`), so that a person can roll back while a
training of hours runs. Readers take no lock: everything they read is replaced atomically.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lmdeploy.errors import InputError

FOLDER = "locks"


@contextmanager
def writer(site: Path, name: str, *, wait_s: float = 5.0) -> Iterator[int]:
    """Hold the lock `name` of a site; yields its file descriptor (pass it to a child that works for the holder).

    Raises InputError that names the other process when it is still held after `wait_s` seconds, or where the system
    has no such locks.
    """
    if os.name == "nt":
        raise InputError("a site needs Linux or macOS, for its locks: on Windows run 'lmdeploy site' under WSL")
    path = site / FOLDER / f"{name}.lock"
    path.parent.mkdir(exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _acquire(handle, wait_s):
            raise InputError(f"{site}: {_holder(path)} holds the {name} lock; wait for it to end, then call again")
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps({"pid": os.getpid(), "command": _command()}).encode(), 0)
        yield handle
    finally:
        os.close(handle)


def _acquire(handle: int, wait_s: float) -> bool:
    import fcntl  # POSIX only; imported here so that the package can be imported anywhere

    end = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.02)
        else:
            return True


def _holder(path: Path) -> str:
    try:
        told = json.loads(path.read_bytes())
        return f"process {int(told['pid'])} ({told['command']})"
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"


def _command() -> str:
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:3]])
