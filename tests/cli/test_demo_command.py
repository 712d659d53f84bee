"""`lmdeploy demo` as people run it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lmdeploy.bundle import find_bundle
from lmdeploy.errors import BundleError
from tests.tiny_bundle import make_tiny_bundle

RUN = [sys.executable, "-c", "from lmdeploy.cli import main; main()", "demo"]


def test_model_for_other_objects_ends_with_one_sentence(tmp_path: Path) -> None:
    model = make_tiny_bundle(tmp_path / "tiny").path
    done = subprocess.run(
        [*RUN, "--out", tmp_path / "out", "--model", model, "--seconds", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "finds no face in the demo's portrait" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_built_in_model_follows_the_portrait(tmp_path: Path) -> None:
    try:
        find_bundle("face68")
    except BundleError:
        pytest.skip("the built-in model face68 is not in this checkout")
    done = subprocess.run(
        [*RUN, "--out", tmp_path / "out", "--seconds", "1", "--threads", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    error, unsmoothed = map(float, re.findall(r"error ([0-9.]+) \(unsmoothed\s+([0-9.]+)\)", done.stdout)[0])
    assert "30 frames, 30 with a face" in done.stdout
    assert unsmoothed < 4  # % of the face's size; measured 1.6 with a model of a short training
    assert error < 5
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["demo.mp4", "landmarks.csv", "portrait.mp4", "sheet.png"]
