"""A question to a process of its own, answered with one JSON object: one that dies or hangs is an answer, too."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Sequence
from typing import Any


def ask(command: Sequence[str], timeout_s: float) -> dict[str, Any]:
    """The object on the last line of a command's standard output.

    Where there is none, only `problem`: how the process ended and its last words.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return {"problem": f"no answer within {timeout_s} s"}
    try:
        answer = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        answer = None
    if isinstance(answer, dict):
        return answer
    said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return {"problem": f"its process {_end(done.returncode)}: {said}"}


def _end(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
