"""The whole way on tiny data: a model chooses, the chosen images count as labelled, STLD trains on them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.toy_faces import write_folder
from lmdeploy.cli import main
from tests.tiny_recipe import tiny_recipe_text

SHORT = {"epochs": 1, "oversample": 0}
STLD = SHORT | {"rounds": 1, "pretrain_epochs": 1, "pretrain_decay_at": [], "start": "init", "student": "fresh"}


@pytest.fixture
def lmdeploy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The command in this process: standard output and standard error of a call that must succeed."""

    def call(*words: object) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["lmdeploy", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        out = capsys.readouterr()
        assert not caught.value.code, out.err
        return out.out, out.err

    return call


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("way")
    write_folder(folder / "data", 12, seed=1)
    (folder / "first.txt").write_text("".join(f"toy_1_{i:04d}.png\n" for i in range(4)))
    for name, method, options in (
        ("first", "supervised", SHORT),
        ("bought", "active_learning", SHORT | {"initial": 3, "budget": 5, "step": 2, "sigma": 1.5}),
        ("stld", "stld", STLD),
    ):
        (folder / f"{name}.toml").write_text(tiny_recipe_text(method, batch=4, **options))
    return folder


def test_what_select_chooses_is_a_labelled_list_of_train(lmdeploy, root: Path) -> None:
    data, quick = root / "data", ("--threads", 1, "--device", "cpu")
    lmdeploy(
        "train", root / "first.toml", "--data", data, "--labelled", root / "first.txt", "--out", root / "1", *quick
    )
    chosen = {}
    for strategy in ("nnm", "entropy", "k-center"):
        out, _ = lmdeploy(
            "select", data, "--model", root / "1", "--strategy", strategy, "--labelled", root / "first.txt",
            "--boxes", "whole_image", "--count", 3, "--out", root / strategy, *quick,
        )  # fmt: skip
        chosen[strategy] = out.splitlines()
        assert len(set(chosen[strategy])) == 3
        assert not set(chosen[strategy]) & set((root / "first.txt").read_text().splitlines())
    both = root / "nnm" / "labelled.txt"
    assert both.read_text().splitlines() == [*(root / "first.txt").read_text().splitlines(), *chosen["nnm"]]
    for labelled, count in ((root / "nnm" / "selected.txt", 3), (both, 7)):
        _, err = lmdeploy(
            "train", root / "stld.toml", "--data", data, "--labelled", labelled, "--init", root / "1",
            "--boxes", "whole_image", "--out", root / f"stld-{count}", *quick,
        )  # fmt: skip
        assert f"{count} labelled images, {12 - count} whose labels are not used" in err


def test_stld_goes_on_from_what_active_learning_bought(lmdeploy, root: Path) -> None:
    data, quick = root / "data", ("--threads", 1, "--device", "cpu")
    lmdeploy("train", root / "bought.toml", "--data", data, "--out", root / "al", *quick)
    _, err = lmdeploy(
        "train", root / "stld.toml", "--data", data, "--labelled", root / "al" / "selection" / "labelled.txt",
        "--init", root / "al", "--boxes", "whole_image", "--out", root / "stld-al", *quick,
    )  # fmt: skip
    assert "5 labelled images, 7 whose labels are not used" in err
