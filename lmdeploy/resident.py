"""Resident memory of this process, at its peak and now."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path


def is_known() -> bool:
    """Whether the system tells it; Windows does not, and the functions below must then not be called."""
    return Path("/proc/self/status").is_file() or find_spec("resource") is not None


def peak_mb() -> float:
    """Peak resident memory since this program began, MB (10^6 bytes).

    Linux's VmHWM where there is one: ru_maxrss begins with the peak of the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        return int(status.read_text(encoding="ascii").partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def now_mb() -> float:
    """Resident memory at the moment, MB (10^6 bytes); the peak where the system does not say."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return peak_mb()
    return int(status.read_text(encoding="ascii").partition("VmRSS:")[2].split()[0]) * 1024 / 1e6
