"""How many threads a network should use on this machine."""

from __future__ import annotations

import os
from pathlib import Path

MAX_THREADS = 4
"""Small landmark networks gain little from more threads than this, and other processes of the machine lose."""


def default_threads() -> int:
    """Physical cores that this process may use, at most four: two threads on one core only wait for each other."""
    return max(1, min(physical_cores(), MAX_THREADS))


def physical_cores(topology: Path = Path("/sys/devices/system/cpu")) -> int:
    """Distinct physical cores among the processors that this process may run on (logical ones if unknown)."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    allowed = os.sched_getaffinity(0)
    return len({_core(topology / f"cpu{index}" / "topology", index) for index in allowed})


def _core(folder: Path, index: int) -> tuple[str, str]:
    """(socket, core) of one logical processor; itself where the system does not say."""
    try:
        socket = (folder / "physical_package_id").read_text(encoding="ascii").strip()
        return socket, (folder / "core_id").read_text(encoding="ascii").strip()
    except OSError:
        return "", f"logical {index}"
