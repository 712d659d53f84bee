"""AFLW against what its generated copy holds."""

from __future__ import annotations

import numpy as np
import pytest

from lmdeploy.errors import InputError
from lmdeploy.types import Box
from tests.unit.training.sets.fixture_aflw import HIDDEN, NAMES, RA, info, write_aflw
from training.data.sets import aflw
from training.data.sets.aflw import AFLW, read


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(aflw, "TRAIN", 5)


def numbers(loaded):
    return [int(sample.name[-9:-4]) for sample in loaded.samples]


def test_splits_follow_the_permutation(tmp_path):
    root = write_aflw(tmp_path)
    assert numbers(read(root, "train")) == RA[:5].tolist()
    assert numbers(read(root, "test")) == [7, 4, 6]
    assert numbers(read(root, "frontal")) == [4, 6]  # image 7 hides points 3 and 4
    assert read(root, "train").samples[0].name == "aflw_train_00003.jpg"
    assert read(root, "frontal").samples[0].name == "aflw_test_00004.jpg"


def test_points_are_19_x_then_19_y_and_the_box_is_x_x_y_y(tmp_path):
    loaded = read(write_aflw(tmp_path), "train")
    assert loaded.problems == ()
    for sample in loaded.samples:
        index = int(sample.name[-9:-4]) - 1
        data = info()["data"][index]
        for k in range(19):
            assert sample.points[k] == pytest.approx((data[k], data[19 + k]), abs=1e-5)
        assert sample.box == Box(5 + index, 4, 75 + index, 54)
        assert sample.path == tmp_path / "flickr" / NAMES[index]


def test_load_clamps_points_to_the_image(tmp_path):
    first = AFLW.load(write_aflw(tmp_path), "train").samples[0]  # image 3: (-3.5, 61) in 60 x 90
    assert first.points[0].tolist() == [0, 59]
    assert (first.box.x0, first.box.y0, first.box.x1, first.box.y1) == (7, 4, 77, 54)


def test_visibility_is_the_mask(tmp_path):
    seen = aflw.visible(write_aflw(tmp_path))
    assert {n: np.flatnonzero(~row).tolist() for n, row in enumerate(seen) if not row.all()} == HIDDEN


def test_expected_counts_are_those_of_the_specification():
    assert AFLW.splits == {"train": 20000, "test": 4386, "frontal": None}
    assert "1,314" in AFLW.remarks["frontal"]
    assert "1,165" in AFLW.remarks["frontal"]


def test_a_missing_image_a_bad_number_and_a_flat_box_are_named(tmp_path):
    data, box = info()["data"], info()["bbox"]
    data[4, 7] = np.nan
    box[1] = (9, 9, 4, 54)
    root = write_aflw(tmp_path, data=data, bbox=box)
    (root / "flickr" / NAMES[7]).unlink()
    loaded = read(root, "train")
    assert numbers(loaded) == [3, 1]
    for line, said in zip(
        loaded.problems, ["image 8: no such image", "image 5 (2/image00006.jpg): a coord", "image 2 "], strict=True
    ):
        assert said in line


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"data": np.zeros((8, 36))}, "data is (8, 36) instead of (8, 38)"),
        ({"mask_new": np.ones((7, 19))}, "mask_new is (7, 19)"),
        ({"ra": np.arange(8)[None]}, "ra is not a permutation of 1..8"),
        ({"ra": np.array([[1, 2, 3, 4, 5, 6, 7, 7]])}, "ra is not a permutation"),
    ],
)
def test_a_wrong_table_is_one_problem(tmp_path, changed, said):
    loaded = read(write_aflw(tmp_path, **changed), "train")
    assert loaded.samples == ()
    assert len(loaded.problems) == 1
    assert said in loaded.problems[0]


def test_a_truncated_file_is_one_problem_wherever_it_is_cut(tmp_path):
    path = write_aflw(tmp_path) / "AFLWinfo_release.mat"
    content = path.read_bytes()
    for length in range(0, len(content) - 1, len(content) // 25):
        path.write_bytes(content[:length])
        loaded = read(tmp_path, "train")
        assert (loaded.samples, len(loaded.problems)) == ((), 1), length
        assert "AFLWinfo_release.mat" in loaded.problems[0]


def test_a_missing_file_shows_the_layout(tmp_path):
    with pytest.raises(InputError, match="of the CCL project"):
        read(tmp_path, "train")
