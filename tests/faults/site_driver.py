"""Runs site actions in processes that are killed for real: at a chosen system call or after a chosen time.

Started once, because importing takes long; then reads one JSON request a line, forks a process that does the action,
kills it with SIGKILL, and answers with how it ended. A request:

    action      collect | refresh | promote
    site        folder;  arguments: of the action
    kill_at     before the n-th call of os.fsync, os.replace, os.rename, os.link or os.unlink (1 is the first), or null
    kill_ms     after so many milliseconds, or null
    env         environment variables of the process
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from lmdeploy.site import collect, curate, refresh, registry, steps  # noqa: F401  # loaded before the forks
from tests.site_kit import better_errors, frames, see_blobs

CALLS = ("fsync", "replace", "rename", "link", "unlink")


def main() -> None:
    cv2.setNumThreads(0)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(serve(json.loads(line))) + "\n")
        sys.stdout.flush()


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Fork, act, kill; {"signal": 9} or {"exit": code, "calls": number of counted calls}."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        child(request, write)
    os.close(write)
    if request.get("kill_ms") is not None:
        time.sleep(request["kill_ms"] / 1000)
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    with os.fdopen(read) as stream:
        calls = stream.read()
    if os.WIFSIGNALED(status):
        return {"signal": os.WTERMSIG(status)}
    return {"exit": os.WEXITSTATUS(status), "calls": int(calls or -1)}


def child(request: dict[str, Any], write: int) -> None:
    code = 1
    try:
        os.environ.update(request.get("env", {}))
        count = count_calls(request.get("kill_at"))
        ACTIONS[request["action"]](Path(request["site"]), *request.get("arguments", []))
        os.write(write, str(count()).encode())
        code = 0
    except BaseException:
        traceback.print_exc()  # the test sees only the exit code; pytest shows this beside it
        sys.stderr.flush()
        raise
    finally:
        os._exit(code)


def count_calls(kill_at: int | None) -> Callable[[], int]:
    """Count the calls that change the disk, and die before the chosen one."""
    calls = 0

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **named)

        return call

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    return lambda: calls


def collect_action(site: Path, first: int, last: int) -> None:
    collect.collect_frames(site, frames(range(first, last)), see_blobs, "cam")


def refresh_action(site: Path) -> None:
    refresh.refresh(site, errors=better_errors)


def promote_action(site: Path, sources: list[str], times: int) -> None:
    """Take in and promote other bundles than the champion in turn; every fifth switch is a rollback."""
    for turn in range(times):
        now = registry.champion(site)
        if now.rejected:  # after a rollback, also one after which this process was killed
            now = now.model_copy(update={"rejected": ()})
            registry.set_alias(site, "champion", now)
        if turn % 5 == 4:
            registry.rollback(site)
        else:
            source = Path(sources[(now.serial + 1) % len(sources)])
            bundle = registry.add_bundle(site, source)
            registry.promote(site, bundle.digest, expected=now.digest, origin=f"turn-{turn}")


ACTIONS: dict[str, Callable[..., None]] = {
    "collect": collect_action,
    "refresh": refresh_action,
    "promote": promote_action,
}


if __name__ == "__main__":
    main()
