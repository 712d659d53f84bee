"""Several processes want one engine, and a build is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def start(folder: Path, log: Path, wait_s: float) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.tensorrt_kit.one_build", str(folder), str(log), str(wait_s)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def lines(log: Path) -> list[str]:
    return log.read_text().split() if log.is_file() else []


def wait_for(log: Path, word: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while word not in lines(log):
        assert process.poll() is None, process.communicate()[0].decode()
        assert time.monotonic() < end, lines(log)
        time.sleep(0.02)


def finish(process: subprocess.Popen[bytes]) -> None:
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out.decode()
    assert out == b""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_two_processes_build_once(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    first = start(folder, log, 0.3)
    wait_for(log, "build", first)
    second = start(folder, log, 0.3)
    finish(first)
    finish(second)
    assert sorted(lines(log)) == ["build", "ready", "ready"]


def test_a_killed_build_leaves_nothing_and_holds_up_nobody(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    killed = start(folder, log, 30)
    wait_for(log, "build", killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert [p.name for p in folder.iterdir()] == ["build.lock"]
    (folder / f".x.engine.{killed.pid}.part").write_bytes(b"half")  # what a kill during the write leaves
    finish(start(folder, log, 0))
    assert lines(log) == ["build", "build", "ready"]
    assert sorted(p.suffix for p in folder.iterdir()) == [".engine", ".lock", ".timing"]
