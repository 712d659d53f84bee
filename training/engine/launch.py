"""`lmdeploy train --devices N`: runs the same command once per process and ends all when one ends badly."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch.distributed as dist

from lmdeploy.errors import LmdeployError

WATCHED = "LMDEPLOY_WATCHED"  # set in the processes that `launch` started
PEER_LOST = 75  # exit code of a process that ended only because another one did
AGAIN = "the same call goes on from the last checkpoint"


def launch(count: int, threads: int | None) -> int:
    """Start `count` processes of this command; the exit code of the run.

    Errors: LmdeployError when one was killed, or ended with a message of its own that only it knows.
    """
    cores = threads or max((os.cpu_count() or 1) // count, 1)
    shared = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "GROUP_RANK": "0", WATCHED: "1"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "OMP_NUM_THREADS": str(cores)}
    with tempfile.TemporaryDirectory() as folder:
        running = [_start(rank, os.environ | shared, Path(folder) / str(rank)) for rank in range(count)]
        try:
            return outcome(_wait(running), Path(folder))
        finally:
            _end(running)


def watch_launcher() -> None:
    """In a process that `launch` started: end with the launcher, even if that is killed."""

    def wait() -> None:
        os.read(0, 1)  # returns when the launcher's end of the pipe is gone; sys.stdin's lock would block the exit
        os._exit(PEER_LOST)

    threading.Thread(target=wait, daemon=True, name="launcher-watch").start()


def peer_lost(error: RuntimeError) -> LmdeployError | None:
    """What to say when an exchange between processes failed; None when the error is about something else."""
    if isinstance(error, dist.DistError) or "gloo" in str(error).lower():
        return LmdeployError(f"another process of this run has ended, so this one stopped; {AGAIN}")
    return None


def _start(rank: int, environment: dict[str, str], quiet: Path) -> subprocess.Popen[bytes]:
    """The first process speaks for all; what the others say is kept for the case that one alone fails."""
    words = [sys.executable, "-m", "lmdeploy", *sys.argv[1:]]
    mine = environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    if rank == 0:
        return subprocess.Popen(words, env=mine, stdin=subprocess.PIPE)
    with quiet.open("wb") as stream:
        return subprocess.Popen(words, env=mine, stdin=subprocess.PIPE, stdout=stream, stderr=stream)


def _wait(running: list[subprocess.Popen[bytes]]) -> list[int | None]:
    """Exit codes at the moment when all have ended well, or one has ended badly and the others had time to say so."""
    while True:
        codes = [process.poll() for process in running]
        if all(code == 0 for code in codes):
            return codes
        if any(codes):
            time.sleep(0.5)  # processes that fail alike do so together; the first one's message is the one to show
            return [process.poll() for process in running]
        time.sleep(0.05)


def outcome(codes: list[int | None], folder: Path) -> int:
    """The run's exit code from those of its processes (None: still running); `folder` holds what the others said.

    Errors: LmdeployError with the one sentence that says who failed, unless the first process has said it.
    """
    guilty = [rank for rank, code in enumerate(codes) if code not in (None, 0, PEER_LOST)]
    if not guilty and any(codes):
        raise LmdeployError(f"the processes lost each other; {AGAIN}")
    if not guilty:
        return 0
    killed = [rank for rank in guilty if (codes[rank] or 0) < 0]
    if killed:
        name = signal.Signals(-(codes[killed[0]] or 0)).name
        raise LmdeployError(
            f"process {killed[0]} of {len(codes)} was ended by {name} (perhaps for want of memory), so all were "
            f"stopped; {AGAIN}"
        )
    if guilty[0] != 0:
        raise LmdeployError(f"process {guilty[0]} of {len(codes)} failed: {_last_words(folder / str(guilty[0]))}")
    return codes[0] or 0


def _last_words(file: Path) -> str:
    lines = file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else "it said nothing"


def _end(running: list[subprocess.Popen[bytes]]) -> None:
    """Stop whatever still runs: a process that waits for a lost one answers to nothing but SIGKILL."""
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
