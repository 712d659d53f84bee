"""`lmdeploy evaluate` as a user calls it, with a real tiny network on pictures of three blobs."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from lmdeploy.cli import cli
from lmdeploy.errors import BundleError, DataError, InputError
from tests.data_folder import write_csv
from tests.odd_images import write_jpeg
from tests.tiny_bundle import blob_image, make_tiny_bundle

PROMISED = {"nme", "fr", "auc", "nme_ci", "images", "normaliser", "frame", "boxes", "provider"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a bundle `tiny` and a labelled set `set` of six pictures."""
    home = tmp_path_factory.mktemp("evaluate")
    make_tiny_bundle(home / "tiny")
    rng, rows = np.random.default_rng(0), []
    for number in range(6):
        points = np.array([[50, 50], [90, 52], [70, 90]]) + rng.uniform(-6, 6, (3, 2))
        write_jpeg(home / "set" / "images" / f"{number}.jpg", blob_image(140, 150, points, sigma=4))
        rows.append([f"{number}.jpg", *points.ravel().round(3).tolist()])
    write_csv(home / "set" / "landmarks.csv", ["image", "x0", "y0", "x1", "y1", "x2", "y2"], rows)
    return home


def call(*words):
    return CliRunner().invoke(cli, ["evaluate", *map(str, words)], catch_exceptions=True)


def test_json_alone_on_standard_output(place):
    done = call(place / "tiny", "--data", place / "set", "--json", "-", "--threads", 1)
    assert done.exit_code == 0, done.stderr
    value = json.loads(done.stdout)
    assert set(value) >= PROMISED
    assert value["nme"] < 0.3  # per cent of red-green; the network's own error on JPEG blobs, measured 0.07
    assert (value["images"], value["normaliser"], value["frame"], value["boxes"]) == (6, "red-green", "image", "gt")
    assert value["provider"] == "CPUExecutionProvider"


def test_the_table_goes_to_standard_error(place):
    done = call(place / "tiny", "--data", place / "set")
    assert done.stdout == ""
    for said in ("NME", "red-green", "image", "6 measured, 0 dropped", "gt", "CPUExecutionProvider"):
        assert said in done.stderr


def test_json_and_plots_into_files(place, tmp_path):
    done = call(
        place / "tiny",
        "--data",
        place / "set",
        "--json",
        tmp_path / "r.json",
        "--plots",
        tmp_path / "p",
        "--frame",
        "crop",
    )
    assert done.exit_code == 0, done.stderr
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["frame"] == "crop"
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["ced.png", "worst.png"]


def test_boxes_of_the_whole_image(place):
    done = call(place / "tiny", "--data", place / "set", "--boxes", "whole_image", "--json", "-")
    assert json.loads(done.stdout)["boxes"] == "whole_image"


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (["--boxes", "yunet"], InputError, "--yunet"),
        (["--boxes", "file"], InputError, "none of 6 has a box"),
        (["--normaliser", "inter-pupil"], InputError, "has no normaliser"),
        (["--data", "nowhere"], InputError, r"no landmarks\.csv"),
        (["--json", "/dev/null/x.json"], InputError, "cannot be written"),
    ],
)
def test_bad_input_is_one_sentence(place, words, kind, said):
    done = call(place / "tiny", *(["--data", place / "set"] if "--data" not in words else []), *words)
    assert isinstance(done.exception, kind)
    with pytest.raises(kind, match=said):
        raise done.exception


@pytest.mark.parametrize("option", ["--json", "--plots"])
def test_outputs_that_cannot_be_are_told_before_the_model_is_opened(place, tmp_path, option):
    where = tmp_path if option == "--json" else place / "set" / "landmarks.csv"
    error = call("no-such-model", "--data", place / "set", option, where).exception
    assert isinstance(error, InputError)
    assert ("is a folder" if option == "--json" else "is no folder that takes files") in str(error)


def test_broken_images_are_all_named(place, tmp_path):
    import shutil

    shutil.copytree(place / "set", tmp_path / "set")
    (tmp_path / "set" / "images" / "1.jpg").write_bytes(b"")
    (tmp_path / "set" / "images" / "4.jpg").unlink()
    done = call(place / "tiny", "--data", tmp_path / "set")
    assert isinstance(done.exception, DataError)
    assert "4.jpg: no such file" in str(done.exception)


def test_no_such_model_and_no_such_option(place):
    assert isinstance(call("no-such-model", "--data", place / "set").exception, BundleError)
    assert call(place / "tiny").exit_code == 2
    assert call(place / "tiny", "--data", place / "set", "--boxes", "mtcnn").exit_code == 2


def test_as_a_real_process_with_its_exit_code(place):
    program = "from lmdeploy.cli import main; main()"
    base = [sys.executable, "-c", program, "evaluate", str(place / "tiny"), "--threads", "1", "--json", "-"]
    done = subprocess.run([*base, "--data", str(place / "set")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"] == 6
    done = subprocess.run([*base, "--data", str(place)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith("error: "), done.stderr
    assert "Traceback" not in done.stderr
