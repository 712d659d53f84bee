"""Commands in a process of their own: output, exit codes, and no orphans."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lmdeploy.errors import GateRefusedError, InputError, LmdeployError, MissingExtraError
from lmdeploy.site.child import run_command
from lmdeploy.site.lock import writer

PYTHON = [sys.executable, "-c"]
PARENT = """
import sys, pathlib
from lmdeploy.site.child import run_command
from lmdeploy.site.lock import writer
site = pathlib.Path(sys.argv[1])
with writer(site, "refresh") as hold:
    run_command([sys.executable, "-c", sys.argv[2]], ["train"], log=site / "log", hold=hold, tell=lambda b: None)
"""


def run(site: Path, script: str, threads: int | None = None) -> list[bytes]:
    told: list[bytes] = []
    with writer(site, "refresh") as hold:
        run_command([*PYTHON, script], ["train", "x"], log=site / "log", hold=hold, threads=threads, tell=told.append)
    return told


def test_output_is_told_live_and_logged(tmp_path: Path) -> None:
    script = "import sys; print('one', flush=True); print('two', sys.argv[1:], file=sys.stderr)"
    told = b"".join(run(tmp_path, script))
    assert told == b"one\ntwo ['train', 'x']\n" == (tmp_path / "log").read_bytes()
    run(tmp_path, script)
    assert (tmp_path / "log").read_bytes() == told * 2


def test_threads_reach_the_child(tmp_path: Path) -> None:
    assert b"".join(run(tmp_path, "import os; print(os.environ['OMP_NUM_THREADS'])", 3)) == b"3\n"


@pytest.mark.parametrize(
    ("script", "kind", "message"),
    [
        ("raise SystemExit(3)", GateRefusedError, "ended with 3: it printed nothing"),
        (
            "print('error: parity 0.5 px'); raise SystemExit(3)",
            GateRefusedError,
            "'lmdeploy train' ended with 3: parity",
        ),
        ("print('error: no such file'); raise SystemExit(2)", LmdeployError, "no such file .*log"),
        (
            "print(\"error: needs torch: pip install 'x[train]'\"); raise SystemExit(2)",
            MissingExtraError,
            "pip install",
        ),
        ("1 / 0", LmdeployError, "ZeroDivisionError"),
    ],
)
def test_exit_codes_become_errors(tmp_path: Path, script: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        run(tmp_path, script)
    assert type(caught.value) is kind


def test_command_that_is_not_there(tmp_path: Path) -> None:
    with (
        writer(tmp_path, "refresh") as hold,
        pytest.raises(InputError, match=r"no-such-python.*`command` in site\.toml"),
    ):
        run_command(["/no-such-python"], ["train"], log=tmp_path / "log", hold=hold, tell=lambda _: None)


def test_default_command_is_this_interpreter_s_lmdeploy(tmp_path: Path) -> None:
    told: list[bytes] = []
    with writer(tmp_path, "refresh") as hold:
        run_command([], ["--version"], log=tmp_path / "log", hold=hold, tell=told.append)
    assert b"lmdeploy" in b"".join(told)


def test_child_dies_with_its_killed_parent_and_frees_the_lock(tmp_path: Path) -> None:
    file = str(tmp_path / "pid")
    script = f"import os, time; open({file!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), script])
    pid_file = tmp_path / "pid"
    while not (pid_file.exists() and pid_file.read_text()):
        time.sleep(0.01)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    with writer(tmp_path, "refresh", wait_s=10.0):
        pass
    pid = int(pid_file.read_text())
    assert _gone(pid)


def _gone(pid: int) -> bool:
    """Whether the process ended; one that nobody waits for stays as a zombie."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (ProcessLookupError, FileNotFoundError):
        return True


def test_error_while_telling_ends_the_child(tmp_path: Path) -> None:
    def interrupt(_: bytes) -> None:
        raise KeyboardInterrupt

    script = "import time; print('x', flush=True); time.sleep(60)"
    with writer(tmp_path, "refresh") as hold, pytest.raises(KeyboardInterrupt):
        run_command([*PYTHON, script], ["train"], log=tmp_path / "log", hold=hold, tell=interrupt)
    with writer(tmp_path, "refresh", wait_s=5.0):
        pass
