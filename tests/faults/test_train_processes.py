"""`lmdeploy train --devices 2`: one process killed ends all with one sentence, and the same call goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from benchmarks.toy_faces import write_folder
from lmdeploy.errors import LmdeployError
from tests.tiny_recipe import tiny_recipe_text
from training.engine import checkpoint, launch


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    write_folder(folder / "data", 6, seed=1)
    (folder / "recipe.toml").write_text(tiny_recipe_text("supervised", batch=2, epochs=24, oversample=24))
    return folder


def start(root: Path, out: str, *more: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "lmdeploy", "train", str(root / "recipe.toml"), "--data", str(root / "data")]
    words += ["--out", str(root / out), "--device", "cpu", "--precision", "32", "--threads", "1", *more]
    environment = os.environ | {"LMDEPLOY_SAVE_EVERY_S": "0"}
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def children(process: subprocess.Popen[str], file: Path, epochs: int = 2) -> list[psutil.Process]:
    """The processes of the run, once it has trained so many epochs."""
    end = time.monotonic() + 120
    while not file.is_file() or file.read_text().count(",loss,") < epochs:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)
    return psutil.Process(process.pid).children(recursive=True)


@pytest.fixture(scope="module")
def killed(root: Path) -> tuple[int, str, list[psutil.Process]]:
    """Exit code, stderr and the processes of a run whose second process was killed."""
    process = start(root, "two", "--devices", "2")
    running = children(process, root / "two" / "metrics.csv")
    second = next(one for one in running if one.environ()["RANK"] == "1")
    second.send_signal(signal.SIGKILL)
    _, told = process.communicate(timeout=120)
    return process.returncode, told, running


def test_one_killed_process_ends_all_with_one_sentence(killed: tuple[int, str, list[psutil.Process]]) -> None:
    code, told, running = killed
    assert code == 2
    last = told.strip().splitlines()[-1]
    assert last.startswith("error: process 1 of 2 was ended by SIGKILL")
    assert last.endswith("the same call goes on from the last checkpoint")
    assert told.count("error:") == 1
    assert "Traceback" not in told
    assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in running)


def test_a_killed_launcher_takes_its_processes_along_and_the_same_call_goes_on_to_the_same_weights(
    killed: tuple[int, str, list[psutil.Process]], root: Path
) -> None:
    process = start(root, "two", "--devices", "2")
    running = children(process, root / "two" / "metrics.csv", epochs=10)
    process.kill()
    process.communicate()
    gone, alive = psutil.wait_procs(running, timeout=60)
    assert len(gone) == 2
    assert not alive
    again, straight = start(root, "two", "--devices", "2"), start(root, "straight", "--devices", "2")
    for process in (again, straight):
        out, told = process.communicate(timeout=300)
        assert process.returncode == 0, told
        assert out.strip().endswith("model.safetensors")
    one, two = (checkpoint.read(root / name / "model.safetensors").weights for name in ("two", "straight"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert (root / "two" / "metrics.csv").read_text().count(",loss,") == 24


def test_the_outcome_names_who_failed_and_says_it_once(tmp_path: Path) -> None:
    (tmp_path / "1").write_bytes(b"some note\nerror: the disk is full\n")
    assert launch.outcome([0, 0], tmp_path) == 0
    assert launch.outcome([2, 2], tmp_path) == 2  # the first process has said why
    assert launch.outcome([4, None], tmp_path) == 4
    with pytest.raises(LmdeployError, match=r"^process 1 of 2 failed: the disk is full$"):
        launch.outcome([launch.PEER_LOST, 2], tmp_path)
    with pytest.raises(LmdeployError, match="process 0 of 2 was ended by SIGTERM"):
        launch.outcome([-15, launch.PEER_LOST], tmp_path)
    with pytest.raises(LmdeployError, match="lost each other"):
        launch.outcome([launch.PEER_LOST, launch.PEER_LOST], tmp_path)
