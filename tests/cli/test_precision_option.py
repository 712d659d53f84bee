"""`--precision` of the commands that run a model: the file that was named runs, and the result says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from lmdeploy.bundle import write_bundle
from lmdeploy.cli import cli
from lmdeploy.errors import DeviceError, InputError
from tests.data_folder import write_csv
from tests.odd_images import write_jpeg
from tests.tiny_bundle import blob_image, make_tiny_bundle, mixing, tiny_onnx

POINTS = np.array([[50.0, 50.0], [90.0, 52.0], [70.0, 90.0]])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle `both` whose int8 file is wrong by a tenth of the crop, one `plain`, and one labelled picture."""
    home = tmp_path_factory.mktemp("precision")
    plain = make_tiny_bundle(home / "plain")
    files = {"model.onnx": tiny_onnx(64, mixing(3)), "model.int8.onnx": tiny_onnx(64, mixing(3) * np.float32(1.1))}
    write_bundle(home / "both", plain.spec, files)
    write_jpeg(home / "set" / "images" / "a.jpg", blob_image(140, 150, POINTS, sigma=4))
    header = ["image", "x0", "y0", "x1", "y1", "x2", "y2"]
    write_csv(home / "set" / "landmarks.csv", header, [["a.jpg", *POINTS.ravel().tolist()]])
    return home


def call(*words: object) -> Result:
    return CliRunner().invoke(cli, [*map(str, words), "--threads", "1", "--backend", "onnxruntime"])


def test_evaluate_measures_the_file_that_was_named(place: Path) -> None:
    found = {}
    for precision in ("fp32", "int8"):
        done = call("evaluate", place / "both", "--data", place / "set", "--json", "-", "--precision", precision)
        found[precision] = json.loads(done.stdout)
    assert [found[p]["provider"] for p in found] == ["CPUExecutionProvider", "CPUExecutionProvider int8"]
    assert found["fp32"]["nme"] < 0.5 < 5 < found["int8"]["nme"]  # per cent of red-green


def test_predict_says_which_precision_ran(place: Path) -> None:
    picture = place / "set" / "images" / "a.jpg"
    done = call("predict", picture, "--model", place / "both", "--detector", "whole", "--precision", "int8")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["provider"] == "CPUExecutionProvider int8"


def test_what_cannot_be_had_is_an_error_and_nothing_runs(place: Path) -> None:
    done = call("evaluate", place / "plain", "--data", place / "set", "--precision", "int8")
    assert isinstance(done.exception, InputError)
    assert "'lmdeploy export CHECKPOINT -o BUNDLE --precision int8' makes it" in str(done.exception)
    done = call("evaluate", place / "both", "--data", place / "set", "--precision", "int8", "--device", "cuda")
    assert isinstance(done.exception, DeviceError)
    assert done.stdout == ""
