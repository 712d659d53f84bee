"""`lmdeploy train` with broken input ends with one sentence that says what to do; with little input it just works."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from benchmarks.toy_faces import write_folder
from lmdeploy import cli
from tests.tiny_recipe import tiny_recipe_text

Call = Callable[..., tuple[int, str, str]]

SHORT: dict[str, Any] = {"batch": 4, "epochs": 2, "oversample": 0}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of 12 labelled and 4 unlabelled drawn faces, and two small recipes."""
    folder = tmp_path_factory.mktemp("mistakes")
    write_folder(folder / "faces", 12, seed=1)
    write_folder(folder / "more", 4, seed=2, labelled=False)
    (folder / "tiny.toml").write_text(tiny_recipe_text("supervised", lr=1e-2, **SHORT))
    (folder / "wild.toml").write_text(tiny_recipe_text("supervised", lr=1e30, **SHORT))
    (folder / "naive.toml").write_text(tiny_recipe_text("naive", lr=1e-2, **SHORT))
    return folder


@pytest.fixture
def lmdeploy(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> Call:
    """The command's own entry point in this process: (exit code, stdout, stderr) of words."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # which --threads sets, and the end of the test restores
    caplog.set_level(logging.INFO)  # pytest has taken the log from stderr

    def call(*words: str | Path) -> tuple[int, str, str]:
        caplog.clear()
        monkeypatch.setattr(sys, "argv", ["lmdeploy", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capfd.readouterr()
        return int(ended.value.code or 0), told.out, told.err + caplog.text

    return call


def labels_of(faces: Path, folder: Path, columns: int, rows: int) -> Path:
    """A copy of the labelled folder with some columns and rows of its labels."""
    folder.mkdir()
    (folder / "images").symlink_to(faces / "images")
    lines = [line.split(",") for line in (faces / "landmarks.csv").read_text().splitlines()]
    wide = [[*line, *(["x68", "y68"] if line[0] == "image" else ["1", "1"])] for line in lines]
    (folder / "landmarks.csv").write_text("\n".join(",".join(line[:columns]) for line in wide[: 1 + rows]) + "\n")
    return folder


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["wild.toml"], "the loss is not finite in epoch 1; lower schedule.lr or check labels"),
        (["tiny.toml", "--labelled", "1"], "1 labelled image is too few to train on: give at least 2"),
        (["naive.toml"], "naive needs unlabelled images: give --unlabelled FOLDER"),
        (["naive.toml", "--unlabelled", "more", "--boxes", "file"], "--boxes file has a box for none of the 4"),
        (["naive.toml", "--schema", "aflw19"], "landmarks.csv: more points than the 19 of schema aflw19"),
        (["tiny.toml", "--precision", "8"], "'8' is not one of 'auto', '32', 'bf16'"),
        (["tiny.toml", "--devices", "0"], "0 is not in the range x>=1"),
    ],
)
def test_each_mistake_ends_with_its_sentence(words: list[str], sentence: str, root: Path, lmdeploy: Call) -> None:
    words = [str(root / word) if (root / word).exists() else word for word in words]
    code, out, err = lmdeploy("train", *words, "--data", root / "faces", "--out", "out", "--threads", "1")
    assert (code, out) == (2, "")
    assert sentence in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("columns", "rows", "sentence"),
    [
        (139, 12, "more points than the 68 of schema ibug68"),
        (131, 12, "no column 'x65'"),
        (137, 0, "no samples; a data folder holds images/"),
    ],
)
def test_labels_that_do_not_fit_end_with_one_sentence(
    columns: int, rows: int, sentence: str, root: Path, lmdeploy: Call, tmp_path: Path
) -> None:
    data = labels_of(root / "faces", tmp_path / "data", columns, rows)
    code, _, err = lmdeploy("train", root / "tiny.toml", "--data", data, "--out", "out")
    assert code == 2
    assert sentence in err


def test_a_mistake_corrected_goes_on_in_the_same_folder(root: Path, lmdeploy: Call, tmp_path: Path) -> None:
    """A failed call leaves run.json behind, which must not lock the folder to the mistake."""
    call = ["train", root / "tiny.toml", "--data", root / "faces", "--threads", "1", "--out", "out"]
    assert lmdeploy(*call, "--labelled", "1")[0] == 2
    code, out, err = lmdeploy(*call, "--labelled", "8")
    assert code == 0, err
    assert out.strip() == "out/model.safetensors"
    assert "its maps are still nearly empty" in err
    assert "supervised (1 of 1): epoch 2 of 2, loss" in err
    code, _, err = lmdeploy(*call, "--labelled", "9")
    assert code == 2
    assert "(labelled differ): choose another --out" in err


def test_self_training_with_haar_boxes_needs_no_more_than_a_folder_and_a_number(
    root: Path, lmdeploy: Call, tmp_path: Path
) -> None:
    call = ["train", root / "naive.toml", "--data", root / "faces", "--labelled", "8", "--threads", "1"]
    code, out, err = lmdeploy(*call)
    assert code == 0, err
    assert "boxes: haar; no face in" in err
    assert "## Stages" in (tmp_path / out.strip()).with_name("run.md").read_text()


def test_without_out_the_run_is_named_after_what_it_is(root: Path, lmdeploy: Call, tmp_path: Path) -> None:
    call = ["train", root / "tiny.toml", "--data", root / "faces", "--threads", "1"]
    assert lmdeploy(*call, "--labelled", "8")[1].strip() == "runs/tiny-faces-8/model.safetensors"
    assert lmdeploy(*call)[1].strip() == "runs/tiny-faces/model.safetensors"
    assert (tmp_path / "runs" / "tiny-faces" / "run.md").is_file()


def test_every_option_has_a_help_text() -> None:
    from training.cli import train

    options = [one for one in train.params if isinstance(one, click.Option)]
    assert len(options) >= 16
    assert [one.name for one in options if not one.help] == []
