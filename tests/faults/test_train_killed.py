"""`lmdeploy train`, killed with SIGKILL at random points, ends with the very weights of a run that was not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks.toy_faces import write_folder
from tests.tiny_recipe import tiny_recipe_text
from training.engine import checkpoint

LENGTHS = {
    "rounds": 2, "epochs": 6, "pretrain_epochs": 6, "pretrain_decay_at": [], "speed_up": 2, "oversample": 24,
    "sigma": [2.2], "p": [2.4],
}  # fmt: skip


def command(root: Path, out: str) -> list[str]:
    folders = ["--data", str(root / "labelled"), "--unlabelled", str(root / "unlabelled"), "--out", str(root / out)]
    fixed = ["--boxes", "whole_image", "--device", "cpu", "--precision", "32", "--threads", "1"]
    return [sys.executable, "-m", "lmdeploy", "train", str(root / "recipe.toml"), *folders, *fixed]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    write_folder(folder / "labelled", 6, seed=1)
    write_folder(folder / "unlabelled", 12, seed=2, labelled=False)
    (folder / "recipe.toml").write_text(tiny_recipe_text("stld", batch=2, **LENGTHS))
    return folder


def finish(words: list[str], environment: dict[str, str]) -> None:
    """Run to the end; what it says stands in the failure."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


def weights(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.read(run / "model.safetensors").weights


def kill_after(process: subprocess.Popen[bytes], metrics: Path, lines: int) -> bool:
    """SIGKILL once the log has grown by that many lines, so at no special point; False when it ended before."""
    before = metrics.stat().st_size if metrics.is_file() else 0
    grown = lines * len("round1,1,loss,0.0123456\n")
    while process.poll() is None:
        if metrics.is_file() and metrics.stat().st_size >= before + grown:
            process.send_signal(signal.SIGKILL)
            return process.wait() == -signal.SIGKILL
        time.sleep(0.002)
    return False


def test_killed_runs_lose_nothing(root: Path) -> None:
    environment = {**os.environ, "LMDEPLOY_SAVE_EVERY_S": "0", "OMP_NUM_THREADS": "1"}
    finish(command(root, "straight"), environment)
    draw, killed = random.Random(5), 0
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    while True:
        process = subprocess.Popen(command(root, "killed"), env=environment, **quiet)
        if not kill_after(process, root / "killed" / "metrics.csv", draw.randint(8, 24)):
            break
        killed += 1
        for file in (root / "killed").rglob("*.safetensors"):
            if not file.name.startswith("."):
                checkpoint.read(file)  # whatever stands under its final name is whole
    assert killed >= 3
    finish(command(root, "killed"), environment)
    straight, resumed = weights(root / "straight"), weights(root / "killed")
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    assert (root / "killed" / "metrics.csv").read_text().count("round2,6,loss") == 1


def test_another_request_in_the_same_folder_is_refused(root: Path) -> None:
    again = subprocess.run([*command(root, "straight"), "--seed", "7"], capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "choose another --out" in again.stderr
