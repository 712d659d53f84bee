"""`lmdeploy data split` and `lmdeploy data check` as a user calls them."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from lmdeploy.check import check_folder
from lmdeploy.cli import cli
from lmdeploy.dataset import read_labelled, read_list, select
from lmdeploy.errors import DataError, InputError
from lmdeploy.schema import load_schema
from tests.data_folder import random_points, write_labelled


@pytest.fixture
def folder(tmp_path):
    points = random_points(12)
    return write_labelled(tmp_path / "set", points, {name: f"p{n % 4}" for n, name in enumerate(points)})


def split(*words):
    return CliRunner().invoke(cli, ["data", "split", *map(str, words)])


def test_the_list_is_nested_and_readable(folder, tmp_path):
    lists = []
    for count in (3, 7):
        done = split(folder, "--labelled", count, "--seed", 5, "-o", tmp_path / "lists" / f"{count}.txt")
        assert done.exit_code == 0, done.exception
        assert done.stdout == ""
        assert f"{count} images" in done.stderr
        lists.append(read_list(tmp_path / "lists" / f"{count}.txt"))
    assert lists[1][:3] == lists[0]
    chosen = select(read_labelled(folder, load_schema("ibug68")), lists[0])
    assert len({sample.identity for sample in chosen}) == 3


def test_the_seed_decides(folder, tmp_path):
    for seed in (0, 0, 1):
        split(folder, "--labelled", 6, "--seed", seed, "-o", tmp_path / f"{seed}.txt")
    assert (tmp_path / "0.txt").read_text() != (tmp_path / "1.txt").read_text()


def test_nothing_is_written_when_the_data_are_broken(folder, tmp_path):
    (folder / "images" / "im002.jpg").unlink()
    done = split(folder, "--labelled", 3, "-o", tmp_path / "l.txt")
    assert isinstance(done.exception, DataError)
    assert "im002.jpg" in str(done.exception)
    assert not (tmp_path / "l.txt").exists()


def test_too_many_and_a_wrong_schema(folder, tmp_path):
    assert isinstance(split(folder, "--labelled", 13, "-o", tmp_path / "l.txt").exception, InputError)
    assert isinstance(
        split(folder, "--labelled", 3, "--schema", "cofw29", "-o", tmp_path / "l.txt").exception, InputError
    )
    assert split(folder, "--labelled", 0, "-o", tmp_path / "l.txt").exit_code == 2


def check(*words):
    return CliRunner().invoke(cli, ["data", "check", *map(str, words)])


def test_a_good_folder_is_counted(folder):
    done = check(folder)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "12 images can be read, 12 of them labelled" in done.stderr
    assert "12 images can be read, 0 of them labelled" in check(folder / "images").stderr


def test_broken_rows_and_broken_images_stand_in_one_list(folder):
    rows = (folder / "landmarks.csv").read_text().splitlines()
    rows[1] = rows[1].replace(",", ",x", 1)
    (folder / "landmarks.csv").write_text("\n".join(rows))
    image = folder / "images" / "im004.jpg"
    image.write_bytes(image.read_bytes()[:-40])
    (folder / "images" / "im007.jpg").write_bytes(b"")
    (folder / "images" / "im009.jpg").unlink()
    error = check(folder).exception
    assert isinstance(error, DataError)
    assert len(error.problems) == 4
    for said in (
        "im000.jpg): x0 is",
        "im009.jpg: no such file",
        "im004.jpg: the image is truncated",
        "im007.jpg: the file is",
    ):
        assert said in str(error)


def test_a_good_folder_beside_a_broken_one_keeps_its_good_samples(folder):
    (folder / "images" / "im007.jpg").write_bytes(b"no picture")
    loaded = check_folder(folder, load_schema("ibug68"))
    assert [sample.name for sample in loaded.samples] == [f"im{n:03d}.jpg" for n in range(12) if n != 7]
    assert len(loaded.problems) == 1


def test_labels_that_cannot_be_right_are_named(folder):
    """All points beside the picture, and all in one place; a single point outside is no mistake."""
    lines = (folder / "landmarks.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines]
    columns = [at for at, name in enumerate(rows[0]) if re.fullmatch(r"[xy]\d+", name)]
    for row, value in ((rows[1], lambda at: -50 - at), (rows[2], lambda at: 20)):
        for at in columns:
            row[at] = str(value(at))
    rows[3][columns[0]] = "-40"
    (folder / "landmarks.csv").write_text("\n".join(",".join(row) for row in rows) + "\n")
    error = check(folder).exception
    assert isinstance(error, DataError)
    assert len(error.problems) == 2
    assert "im000.jpg: every point lies outside of the image" in error.problems[0]
    assert "im001.jpg: all points are in one place" in error.problems[1]
    boxes = folder / "boxes.csv"
    boxes.write_text("image,x0,y0,x1,y1\nim001.jpg,1,1,30,30\n")
    assert len(check(folder).exception.problems) == 1
