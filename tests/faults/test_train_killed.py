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
from training.engine import checkpoint

RECIPE = """
method = "stld"
[network]
backbone = "resnet18"
backbone_options = { channels = [8, 8, 8, 8], stem_type = "deep", stem_width = 8 }
channels = 8
[crop]
size = 32
[schedule]
batch = 2
[options]
epochs = 6
decay_at = []
pretrain_epochs = 6
pretrain_decay_at = []
speed_up = 2
oversample = 24
rounds = 2
sigma = [2.2]
"""
KILLS = 8


def command(root: Path, out: str) -> list[str]:
    folders = ["--data", str(root / "labelled"), "--unlabelled", str(root / "unlabelled"), "--out", str(root / out)]
    fixed = ["--boxes", "whole_image", "--device", "cpu", "--precision", "32", "--threads", "1"]
    return [sys.executable, "-m", "lmdeploy", "train", str(root / "recipe.toml"), *folders, *fixed]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    write_folder(folder / "labelled", 6, seed=1)
    write_folder(folder / "unlabelled", 12, seed=2, labelled=False)
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


def finish(words: list[str], environment: dict[str, str]) -> None:
    """Run to the end; what it says stands in the failure."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


def weights(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.read(run / "model.safetensors").weights


def test_killed_runs_lose_nothing(root: Path) -> None:
    environment = {**os.environ, "LMDEPLOY_SAVE_EVERY_S": "0"}
    began = time.monotonic()
    finish(command(root, "straight"), environment)
    whole = time.monotonic() - began
    draw = random.Random(5)
    killed = 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            command(root, "killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        )
        try:
            process.wait(whole * draw.uniform(0.4, 0.95))
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
        for file in (root / "killed").rglob("*.safetensors"):
            if not file.name.startswith("."):
                checkpoint.read(file)  # whatever stands under its final name is whole
    finish(command(root, "killed"), environment)
    assert killed >= 2
    straight, resumed = weights(root / "straight"), weights(root / "killed")
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    assert (root / "killed" / "metrics.csv").read_text().count("round2,6,loss") == 1


def test_another_request_in_the_same_folder_is_refused(root: Path) -> None:
    again = subprocess.run([*command(root, "straight"), "--seed", "7"], capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "choose another --out" in again.stderr
