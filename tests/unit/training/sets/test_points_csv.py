"""A folder of one's own, read like a published set."""

from __future__ import annotations

import numpy as np
import pytest

from lmdeploy.errors import InputError
from lmdeploy.types import Box
from tests.data_folder import random_points, write_csv, write_labelled
from training.data.sets.base import load
from training.data.sets.points_csv import POINTS_CSV, read, schema_of


@pytest.mark.parametrize(("count", "name"), [(68, "ibug68"), (19, "aflw19"), (5, "face5"), (49, "ibug49")])
def test_the_schema_is_the_one_with_as_many_points(tmp_path, count, name):
    points = random_points(3, points=count)
    root = write_labelled(tmp_path, points)
    assert schema_of(root).name == name
    loaded = read(root, "all")
    assert loaded.problems == ()
    for sample in loaded.samples:
        np.testing.assert_allclose(sample.points, points[sample.name], atol=1e-4)


def test_a_count_that_no_schema_has_is_refused(tmp_path):
    with pytest.raises(InputError, match="7 points fit no built-in schema"):
        read(write_labelled(tmp_path, random_points(1, points=7)), "all")


def test_broken_rows_stay_named_and_unlabelled_folders_work(tmp_path):
    root = write_labelled(tmp_path, random_points(3))
    write_csv(root / "boxes.csv", ["image", "x0", "y0", "x1", "y1"], [["im000.jpg", 10, 10, 50, 60]])
    (root / "images" / "im001.jpg").unlink()
    loaded = POINTS_CSV.load(root, "all")
    assert [sample.name for sample in loaded.samples] == ["im000.jpg", "im002.jpg"]
    assert "im001.jpg: no such file" in loaded.problems[0]
    (root / "landmarks.csv").unlink()
    assert [sample.box for sample in POINTS_CSV.load(root, "all").samples] == [Box(10, 10, 50, 60), None]
    whole = load(POINTS_CSV, root, "all", "whole_128")
    assert [sample.box for sample in whole.samples] == [Box(-0.5, -0.5, 99.5, 99.5)] * 2
    assert whole.problems == ()
