"""COFW against what its generated copy holds: pictures to the last bit, points, boxes, broken files."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from lmdeploy.errors import InputError
from lmdeploy.images import read_image
from lmdeploy.types import Box
from tests.unit.training.sets.fixture_cofw import picture, rows, write_cofw
from training.data.sets import unpack
from training.data.sets.cofw import COFW, occluded, read


@pytest.mark.parametrize("split", ["train", "test"])
def test_pictures_are_unpacked_to_the_last_bit(tmp_path, split):
    write_cofw(tmp_path, split)
    loaded = read(tmp_path, split)
    assert loaded.problems == ()
    for number, sample in enumerate(loaded.samples):
        assert sample.name == f"cofw_{split}_{number + 1:04d}.png"
        wanted = picture(split, number)
        wanted = wanted if wanted.ndim == 3 else np.stack([wanted] * 3, axis=2)
        np.testing.assert_array_equal(read_image(sample.path), wanted)


def test_points_boxes_and_flags(tmp_path):
    write_cofw(tmp_path, "train")
    phis, _ = rows("train")
    for number, sample in enumerate(read(tmp_path, "train").samples):
        np.testing.assert_allclose(sample.points[:, 0], phis[number, :29] - 1, atol=1e-5)
        np.testing.assert_allclose(sample.points[:, 1], phis[number, 29:58] - 1, atol=1e-5)
        assert sample.box == Box(3, 5, 33, 37)
    np.testing.assert_array_equal(occluded(tmp_path, "train"), phis[:, 58:] == 1)
    assert COFW.load(tmp_path, "train").samples[0].box == Box(3, 5, 33, 37)


def test_an_interrupted_unpacking_goes_on_with_what_is_missing(tmp_path, monkeypatch):
    write_cofw(tmp_path, "train")
    write, written = unpack.write_png, []

    def dies_at_the_third(path, image):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        write(path, image)

    monkeypatch.setattr(unpack, "write_png", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        read(tmp_path, "train")
    assert sorted(p.name for p in (tmp_path / "unpacked").rglob("*") if p.is_file()) == ["0001.png", "0002.png"]
    monkeypatch.setattr(unpack, "write_png", lambda path, image: (written.append(path), write(path, image)))
    assert len(read(tmp_path, "train").samples) == 3
    assert [path.name for path in written] == ["0001.png", "0002.png", "0003.png"]
    assert len(read(tmp_path, "train").samples) == 3
    assert len(written) == 3


def test_another_file_of_the_same_name_is_unpacked_anew(tmp_path):
    path = write_cofw(tmp_path, "train")
    old = read(tmp_path, "train").samples[0].path
    with h5py.File(path, "a") as file:
        file.create_dataset("more", data=np.zeros(5000))
    assert read(tmp_path, "train").samples[0].path.parent != old.parent


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("phisTr", np.zeros((58, 3)), "phisTr or bboxesTr does not fit 3 pictures"),
        ("bboxesTr", np.zeros((4, 2)), "phisTr or bboxesTr does not fit 3 pictures"),
        ("phisTr", None, "no variable 'phisTr'"),
    ],
)
def test_a_wrong_table_is_one_problem(tmp_path, name, data, said):
    with h5py.File(write_cofw(tmp_path, "train"), "a") as file:
        del file[name]
        if data is not None:
            file.create_dataset(name, data=data)
    loaded = read(tmp_path, "train")
    assert (loaded.samples, len(loaded.problems)) == ((), 1)
    assert said in loaded.problems[0]


def test_a_broken_picture_a_bad_number_and_a_flat_box_are_named(tmp_path):
    with h5py.File(write_cofw(tmp_path, "train"), "a") as file:
        del file["#refs#/a"]
        file.create_dataset("#refs#/d", data=np.zeros((4, 5), np.float64))
        table = file["IsTr"][:]
        table[0, 0] = file["#refs#/d"].ref
        file["IsTr"][:] = table
        file["phisTr"][3, 1] = np.nan
        file["bboxesTr"][2, 2] = 0
    loaded = read(tmp_path, "train")
    assert loaded.samples == ()
    for line, said in zip(
        loaded.problems,
        ["picture 1: float64 of shape (5, 4) is no grey", "picture 2: a coordinate", "picture 3: the box"],
        strict=True,
    ):
        assert said in line


def test_a_truncated_file_is_one_problem(tmp_path):
    path = write_cofw(tmp_path, "train")
    content = path.read_bytes()
    for length in (0, 300, 700, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        loaded = read(tmp_path, "train")
        assert (loaded.samples, len(loaded.problems)) == ((), 1), length
        assert "COFW_train_color.mat" in loaded.problems[0]


def test_a_missing_file_shows_the_layout(tmp_path):
    with pytest.raises(InputError, match="COFW_test_color"):
        read(tmp_path, "test")
    assert COFW.splits == {"train": 1345, "test": 507}
