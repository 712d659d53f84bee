"""`lmdeploy data check NAME ROOT` and `lmdeploy data show` as a user calls them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

from lmdeploy.cli import cli
from lmdeploy.errors import DataError, InputError
from lmdeploy.images import read_image
from tests.data_folder import random_points, write_labelled
from tests.unit.training.sets.fixture_coco import write_coco
from tests.unit.training.sets.fixture_cofw import write_cofw
from tests.unit.training.sets.fixture_wflw import FLAGS, IMAGES, write_wflw
from training.data.sets import SETS


def data(*words):
    return CliRunner().invoke(cli, ["data", *map(str, words)])


@pytest.fixture
def wflw(tmp_path, monkeypatch):
    """A copy that is complete for a set of five and six lines."""
    small = {"train": len(FLAGS["train"]), "test": len(FLAGS["test"]), "test_pose": 3, "test_blur": 1}
    monkeypatch.setitem(SETS, "wflw", replace(SETS["wflw"], splits=small))
    return write_wflw(tmp_path / "wflw")


def test_a_complete_copy_is_counted(wflw):
    done = data("check", "wflw", wflw)
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        "train: 5 of 5 samples are good",
        "test: 6 of 6 samples are good",
        "test_pose: 3 of 3 samples are good",
        "test_blur: 1 of 1 samples are good",
    ]


def test_everything_to_mend_stands_in_one_list(wflw):
    (wflw / "WFLW_images" / IMAGES[1]).unlink()
    done = data("check", "wflw", wflw, "--split", "test", "--split", "test_blur")
    assert isinstance(done.exception, DataError)
    assert done.exception.exit_code == 2
    problems = done.exception.problems
    assert (
        sum("no such image" in line for line in problems) == 3
    )  # lines 2, 4 and 6, though line 5's subset is read too
    assert "test: 3 good samples instead of 6; complete the copy" in problems
    assert len(problems) == 4


def test_a_real_copy_that_is_too_small_ends_with_2(tmp_path):
    write_cofw(tmp_path, "train")
    words = [sys.executable, "-m", "lmdeploy", "data", "check", "cofw", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "train: 3 good samples instead of 1345" in done.stderr
    assert "COFW_test_color.mat: no such file" in done.stderr


def test_unknown_names_and_folders_say_what_there_is(wflw, tmp_path):
    assert "choose one of 300vw" in str(data("check", "wider", wflw).exception)
    assert "has no split 'valid'" in str(data("check", "wflw", wflw, "--split", "valid").exception)
    missing = data("check", "wflw", tmp_path / "none").exception
    assert isinstance(missing, DataError)
    assert "WFLW is expected as" in missing.problems[0]
    assert isinstance(data("show", "wflw", tmp_path / "none", "-o", tmp_path / "s.png").exception, InputError)


def test_a_set_is_shown_by_split(wflw, tmp_path):
    for words, shown in ([], 5), (["--split", "test"], 6), (["--split", "test", "--count", 2], 2):
        out = tmp_path / "sheets" / "sheet.png"
        done = data("show", "wflw", wflw, "--out", out, *words)
        assert done.exit_code == 0, done.exception
        assert f"{shown} samples" in done.stderr
        assert read_image(out).shape[1] == shown * 224 + (shown - 1) * 4


def test_a_folder_of_one_s_own_is_shown_and_a_broken_image_named(tmp_path):
    folder = write_labelled(tmp_path / "set", random_points(4))
    assert data("show", folder, "-o", tmp_path / "a.png").exit_code == 0
    (folder / "images" / "im002.jpg").write_bytes(b"no picture")
    done = data("show", folder, "-o", tmp_path / "b.png")
    assert isinstance(done.exception, DataError)
    assert "im002.jpg" in str(done.exception)
    assert read_image(tmp_path / "b.png").shape[1] == 3 * 224 + 2 * 4
    wrong = data("show", folder, "-o", tmp_path / "c.png", "--schema", "face5").exception
    assert "more points than the 5 of schema face5" in str(wrong)
    assert not (tmp_path / "c.png").exists()


def test_a_keypoint_file_is_checked_and_shown_with_a_schema_of_one_s_own(tmp_path):
    root = write_coco(tmp_path / "coco")
    schema = tmp_path / "eyes.toml"
    schema.write_text(
        'name = "eyes"\npoints = 2\nnames = ["left_eye", "right_eye"]\n[normaliser]\nkind = "box"\nname = "size"\n'
    )
    done = data("check", f"coco:{schema}", root, "--split", "val2017")
    assert (done.exit_code, done.stderr) == (0, "val2017: 4 samples are good\n")
    done = data("show", f"coco:{schema}", root, "--split", "val2017", "-o", tmp_path / "sheet.png")
    assert done.exit_code == 0, done.exception
    assert read_image(tmp_path / "sheet.png").shape[1] == 4 * 224 + 3 * 4
