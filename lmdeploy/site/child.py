"""Run a public command in a process of its own: training must not share memory, locks or fate with serving."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from lmdeploy.errors import GateRefusedError, InputError, LmdeployError, MissingExtraError

TAIL_BYTES = 2000


def run_command(
    command: Sequence[str],
    arguments: Sequence[str],
    *,
    log: Path,
    hold: int,
    threads: int | None = None,
    tell: Callable[[bytes], None],
) -> None:
    """Run `lmdeploy ARGUMENTS`, its output to `log` and, live, to `tell`; returns when it ended well.

    Args:
        command: how lmdeploy is called; empty means this interpreter's.
        arguments: of the command line, the command's name first.
        log: file that gets the output of every try.
        hold: descriptor of the caller's lock. The child inherits it, so that the lock stays taken as long as either
            lives; on Linux the child is killed with its parent.
        threads: processor threads, None for the child's own choice.
        tell: gets pieces of output as they come.
    Errors: GateRefusedError for exit code 3, MissingExtraError when torch is not there, else LmdeployError with the
        last line of the log.
    """
    prefix = list(command) or [sys.executable, "-m", "lmdeploy"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if threads is not None:
        environment |= {"OMP_NUM_THREADS": str(threads)}
    try:
        child = subprocess.Popen(
            [*prefix, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=(hold,),
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
    except OSError as error:
        raise InputError(f"cannot run {prefix[0]} ({error.strerror}); set `command` in site.toml") from error
    with child, log.open("ab") as stream:
        assert child.stdout is not None
        try:
            while piece := child.stdout.read1(65536):  # type: ignore[attr-defined]  # a BufferedReader
                stream.write(piece)
                stream.flush()
                tell(piece)
        except BaseException:
            child.kill()
            raise
    check_exit(child.returncode, arguments, log)


def check_exit(code: int, arguments: Sequence[str], log: Path) -> None:
    """Turn an exit code other than 0 into the error that run_command promises; the reason is the log's last line."""
    if code == 0:
        return
    end = log.read_bytes()[-TAIL_BYTES:].decode(errors="replace")
    last = next((line.strip() for line in reversed(end.splitlines()) if line.strip()), "it printed nothing")
    told = f"'lmdeploy {arguments[0]}' ended with {code}: {last.removeprefix('error: ')} (all of it in {log})"
    if code == 3:
        raise GateRefusedError(told)
    if "pip install" in last:
        raise MissingExtraError(f"the refresh trains and exports: {last.removeprefix('error: ')}")
    raise LmdeployError(told)


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when the one that started it dies."""
    import ctypes

    set_parent_death_signal = 1  # PR_SET_PDEATHSIG
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
