"""`lmdeploy train` and `lmdeploy export` as a user calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.toy_faces import write_folder
from lmdeploy.bundle import read_bundle
from tests.tiny_recipe import tiny_recipe_text


def lmdeploy(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lmdeploy", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    write_folder(folder / "data", 12, seed=1)
    # 40 epochs: an untrained network's maps are flat, and the place of their maximum is chance
    text = tiny_recipe_text("supervised", batch=4, lr=1e-2, epochs=40, oversample=0)
    (folder / "tiny.toml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def trained(root: Path) -> subprocess.CompletedProcess[str]:
    return lmdeploy(
        "train", root / "tiny.toml", "--data", root / "data", "--labelled", "8", "--out", root / "run",
        "--threads", "1", "--eval", root / "data", "--licence", "drawn, free",
    )  # fmt: skip


def test_train_prints_the_checkpoint_and_keeps_a_run_that_explains_itself(
    trained: subprocess.CompletedProcess[str], root: Path
) -> None:
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout.strip() == str(root / "run" / "model.safetensors")
    assert "8 labelled images, 4 whose labels are not used" in trained.stderr
    about = json.loads((root / "run" / "run.json").read_text())
    assert about["recipe"]["crop"]["size"] == 32
    assert about["versions"]["torch"]
    metrics = (root / "run" / "metrics.csv").read_text().splitlines()
    assert metrics[0] == "stage,epoch,name,value"
    assert sum(line.startswith("supervised,40,loss,") for line in metrics) == 1
    assert json.loads((root / "run" / "rounds" / "supervised.json").read_text())["images"] == 12


def test_export_writes_a_verified_bundle_and_evaluate_reads_it(
    trained: subprocess.CompletedProcess[str], root: Path
) -> None:
    measured = lmdeploy("evaluate", root / "run", "--data", root / "data", "--json", root / "toy.json")
    assert measured.returncode == 0, measured.stderr
    out = root / "bundle"
    done = lmdeploy("export", root / "run", "-o", out, "--images", root / "data", "--measured", root / "toy.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out)
    assert "within the tolerance" in done.stderr
    manifest = read_bundle(out).manifest
    assert manifest.measured[0].test_set == "toy"
    assert manifest.spec.data[0].licence == "drawn, free"
    same = lmdeploy("evaluate", out, "--data", root / "data", "--json", "-")
    onnx, torch = json.loads(same.stdout), json.loads((root / "toy.json").read_text())
    assert onnx["provider"] == "CPUExecutionProvider"
    assert onnx["nme"] == pytest.approx(torch["nme"], abs=0.01)
    again = lmdeploy("export", root / "run", "-o", out)
    assert again.returncode == 2
    assert "exists already" in again.stderr


def test_dry_run_estimates_and_trains_nothing(root: Path) -> None:
    done = lmdeploy("train", root / "tiny.toml", "--data", root / "data", "--out", root / "dry", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "480 image-steps" in done.stderr
    assert "images/s" in done.stderr
    assert not (root / "dry").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("train", "stdl"), "did you mean 'stld'"),
        (("train", "supervised", "--labelled", "0"), "at least one labelled image"),
        (("train", "supervised", "--labelled", "99"), "cannot be drawn from 12"),
        (("train", "stld", "--boxes", "magic"), "choose gt, file"),
        (("train", "supervised", "--schema", "wflw98"), "no column 'x68'"),
        (("train", "supervised", "--device", "cuda"), "--device cuda"),
    ],
)
def test_mistakes_end_with_one_sentence(words: tuple[str, ...], sentence: str, root: Path, tmp_path: Path) -> None:
    import torch

    if "cuda" in words and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    done = lmdeploy(*words, "--data", root / "data", "--out", tmp_path / "out")
    assert done.returncode == (4 if "cuda" in words else 2)
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
