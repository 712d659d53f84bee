"""Data folders: what is good is read, what is broken is named in one list."""

from __future__ import annotations

import csv
import itertools

import numpy as np
import pytest

from lmdeploy.dataset import (
    Sample,
    read_labelled,
    read_list,
    read_unlabelled,
    scan_labelled,
    scan_unlabelled,
    select,
)
from lmdeploy.errors import DataError, InputError
from lmdeploy.schema import load_schema
from lmdeploy.types import Box
from tests.data_folder import HEADER68, random_points, write_csv, write_labelled

IBUG68 = load_schema("ibug68")


@pytest.fixture
def points():
    return random_points(5)


@pytest.fixture
def folder(tmp_path, points):
    return write_labelled(tmp_path / "set", points, {"im001.jpg": "anna", "im003.jpg": "bo"})


def rows_of(folder):
    with (folder / "landmarks.csv").open(newline="") as stream:
        return list(csv.reader(stream))[1:]


def test_labels_identities_and_paths_are_read(folder, points):
    samples = read_labelled(str(folder), IBUG68)
    assert [sample.name for sample in samples] == list(points)
    assert [sample.identity for sample in samples] == ["", "anna", "", "bo", ""]
    for sample in samples:
        assert sample.path == folder / "images" / sample.name
        assert sample.points.dtype == np.float32
        np.testing.assert_array_equal(sample.points, points[sample.name].astype(np.float32))
        assert sample.box is None


def test_an_empty_pair_of_cells_is_not_annotated(folder):
    rows = rows_of(folder)
    rows[1][1:3] = ["", ""]
    write_csv(folder / "landmarks.csv", HEADER68, rows)
    seen = np.isfinite(read_labelled(folder, IBUG68)[1].points)
    assert (~seen).sum() == 2
    assert not seen[0].any()


def test_every_broken_row_stands_in_one_error(folder):
    rows = rows_of(folder)
    rows[0][5] = "left"
    rows[1][1] = ""
    rows[2][1:] = [""] * 136
    rows[3] = rows[3][:-1]
    rows += [rows[4], ["gone.jpg", *rows[4][1:]], ["../escape.jpg", *rows[4][1:]]]
    write_csv(folder / "landmarks.csv", HEADER68, rows)
    (folder / "escape.jpg").write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        read_labelled(folder, IBUG68)
    text = str(caught.value)
    assert len(caught.value.problems) == 7
    for said in (
        "line 2 (im000.jpg): x2 is 'left'",
        "line 3 (im001.jpg): point 0 has only one of x and y",
        "line 4 (im002.jpg): no point is annotated",
        "line 5 (im003.jpg): 136 cells instead of 137",
        "line 7 (im004.jpg): the image stands in the file twice",
        "gone.jpg: no such file in",
        "../escape.jpg: the name leads out of",
    ):
        assert said in text
    loaded = scan_labelled(folder, IBUG68)
    assert [sample.name for sample in loaded.samples] == ["im004.jpg"]
    assert loaded.problems == caught.value.problems


def test_predictions_are_read_as_labels(folder, points):
    """The wide CSV of `lmdeploy predict` has further columns in front."""
    rows = [[row[0], 0, "", 3, 0.97, *row[1:]] for row in rows_of(folder)]
    write_csv(folder / "landmarks.csv", ["image", "frame", "time_ms", "track", "score", *HEADER68[1:]], rows)
    again = read_labelled(folder, IBUG68)
    np.testing.assert_array_equal(again[2].points, points["im002.jpg"].astype(np.float32))


@pytest.mark.parametrize(
    ("schema", "said"), [("wflw98", "no column 'x68' and 59 more"), ("cofw29", "more points than")]
)
def test_the_wrong_schema_is_noticed(folder, schema, said):
    with pytest.raises(InputError, match=said):
        read_labelled(folder, load_schema(schema))


def test_boxes_are_read_and_a_box_without_area_is_named(folder):
    rows = [
        ["im000.jpg", 1, 2, 30, 40.5],
        ["im002.jpg", 9, 9, 9, 20],
        ["im003.jpg", 1, 2, 3, ""],
        ["other.jpg", 0, 0, 1, 1],
    ]
    write_csv(folder / "boxes.csv", ["image", "x0", "y0", "x1", "y1"], rows)
    loaded = scan_labelled(folder, IBUG68)
    assert {sample.name: sample.box for sample in loaded.samples} == {
        "im000.jpg": Box(1, 2, 30, 40.5),
        "im001.jpg": None,
        "im004.jpg": None,
    }
    assert [problem.split(":")[0] for problem in loaded.problems] == [
        "boxes.csv line 3 (im002.jpg)",
        "boxes.csv line 4 (im003.jpg)",
    ]


def test_unlabelled_is_the_same_layout_without_labels(folder):
    samples = read_unlabelled(folder)
    assert [sample.name for sample in samples] == [f"im00{n}.jpg" for n in range(5)]
    assert [sample.identity for sample in samples] == ["", "anna", "", "bo", ""]
    assert all(sample.points is None for sample in samples)


def test_unlabelled_may_be_a_plain_folder_of_images(folder):
    samples = read_unlabelled(folder / "images")
    assert [sample.path.name for sample in samples] == [f"im00{n}.jpg" for n in range(5)]
    assert {sample.identity for sample in samples} == {""}


def test_a_folder_without_samples_is_an_error(tmp_path):
    assert scan_unlabelled(tmp_path).samples == ()
    with pytest.raises(DataError, match="no samples"):
        read_unlabelled(tmp_path)
    with pytest.raises(InputError, match=r"no landmarks\.csv"):
        read_labelled(tmp_path, IBUG68)
    write_csv(tmp_path / "landmarks.csv", HEADER68, [])
    with pytest.raises(DataError, match="no samples"):
        read_labelled(tmp_path, IBUG68)
    with pytest.raises(InputError, match="no such folder"):
        read_unlabelled(tmp_path / "nothing")


def test_lists_select_in_their_own_order(folder, tmp_path):
    (tmp_path / "list.txt").write_text("im003.jpg\n\n  im001.jpg \n", encoding="utf-8")
    chosen = select(read_unlabelled(folder), read_list(tmp_path / "list.txt"))
    assert [sample.name for sample in chosen] == ["im003.jpg", "im001.jpg"]
    with pytest.raises(DataError, match="2 names of the list") as caught:
        select(chosen, ["im001.jpg", "a", "b"])
    assert caught.value.problems == ("a", "b")


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"a\nb\na\n", "twice\n  a$"), (b"\n\n", "is empty"), (b"\xff\xfe\xfa", "not a readable text")],
)
def test_a_broken_list_is_refused(tmp_path, content, said):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_list(tmp_path / "list.txt")
    with pytest.raises(InputError, match="not a readable text"):
        read_list(tmp_path / "nothing.txt")


def test_samples_compare_by_identity_not_by_arrays(folder):
    first, *_ = read_labelled(folder, IBUG68)
    assert first == first  # comparing arrays would raise
    assert first != Sample(first.name, first.path, first.points)


@pytest.mark.data
@pytest.mark.parametrize(
    ("part", "schema", "images", "identities"),
    [
        ("faces68/train", "ibug68", 2960, 243),
        ("faces68/test_public", "ibug68", 645, 52),
        ("faces68_300w/train", "ibug68", 1207, 1),
        ("faces68_300w/test_public", "ibug68", 165, 1),
        ("hand37", "hand37", 9, 1),
    ],
)
def test_real_sets_have_the_counts_of_their_readme(shared_data, part, schema, images, identities):
    samples = read_labelled(shared_data / part, load_schema(schema))
    assert len(samples) == images
    assert len({sample.identity for sample in samples}) == identities
    assert all(np.isfinite(sample.points).all() for sample in samples)


@pytest.mark.data
def test_the_published_lists_are_nested_and_known(shared_data):
    samples = read_labelled(shared_data / "faces68_300w" / "train", IBUG68)
    lists = [read_list(shared_data / "faces68_300w" / "splits" / f"labelled_{n}.txt") for n in (20, 60, 120, 240)]
    for smaller, larger in itertools.pairwise(lists):
        assert set(smaller) < set(larger)
    assert len(select(samples, lists[-1])) == 240
