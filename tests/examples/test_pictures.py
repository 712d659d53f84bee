"""The examples on pictures do what they say, in a process of their own."""

from __future__ import annotations

import ast
import csv
import re
from pathlib import Path

import numpy as np
import pytest

import lmdeploy
from lmdeploy.images import read_image
from tests.examples.conftest import EXAMPLES, FACE, Run

FILES = sorted(EXAMPLES.glob("*.py"))


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.?\d*", text)]


def test_image(run: Run, made: Path, tmp_path: Path) -> None:
    (line,) = run("image.py", "photo.jpg").stdout.splitlines()
    width, x, y, score = numbers(line)
    assert width == pytest.approx(FACE.width, rel=0.3)
    assert abs(x - FACE.center[0]) < 30
    assert FACE.y0 < y < FACE.y1
    assert 0.4 < score <= 1
    before, after = read_image(made / "photo.jpg").astype(int), read_image(tmp_path / "landmarks.jpg").astype(int)
    changed = np.abs(after - before).max(axis=2) > 60
    ys, xs = np.nonzero(changed)
    assert len(xs) > 100
    assert np.median(xs) == pytest.approx(FACE.center[0], abs=40)
    assert np.median(ys) == pytest.approx(FACE.center[1], abs=40)


def test_batch(run: Run, tmp_path: Path) -> None:
    done = run("batch.py", "images")
    assert done.stdout == "3 faces in 2 pictures\n"
    assert re.match(r"left out: .*b\.jpg: the image is truncated", done.stderr)
    with (tmp_path / "landmarks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows[::68]] == ["a.jpg", "c.jpg", "c.jpg"]
    assert len(rows) == 3 * 68
    assert len({row["name"] for row in rows}) == 68
    centres = [np.mean([[float(r["x"]), float(r["y"])] for r in rows[i : i + 68]], axis=0) for i in (0, 68, 136)]
    assert all(
        np.linalg.norm(centre - centres[0]) > 100 or np.allclose(centre, centres[0], atol=9) for centre in centres
    )
    assert np.allclose(centres[0], FACE.center, atol=40)


def test_custom_detector(run: Run) -> None:
    (line,) = run("custom_detector.py", "pair.jpg").stdout.splitlines()
    assert np.allclose(numbers(line), FACE.center, atol=40)


@pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])
def test_an_example_needs_public_names_alone_and_says_how_it_is_run(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert f"python examples/{file.name}" in (ast.get_docstring(tree) or "")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lmdeploy"):
            assert node.module == "lmdeploy"
            assert {alias.name for alias in node.names} <= set(lmdeploy.__all__)
        assert not (isinstance(node, ast.Import) and any(a.name.startswith("lmdeploy") for a in node.names))


def test_no_example_hides_a_module_of_python() -> None:
    """Run as a file, its folder stands first in the path of modules."""
    import sys

    assert not {file.stem for file in FILES} & sys.stdlib_module_names
