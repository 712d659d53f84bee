"""STLD's released lists against what a generated copy holds, and the promises the lists make."""

from __future__ import annotations

import numpy as np
import pytest

from lmdeploy.errors import InputError
from lmdeploy.types import Box
from tests.unit.training.sets.fixture_stld import NAMES, SIDE, TEST, labels, write_lists
from training.data.sets import SETS, stld_lists
from training.data.sets.stld_lists import labelled_names, read


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setitem(stld_lists.COUNTS, "aflw", {"a": 2, "b": 4})
    monkeypatch.setitem(stld_lists.TOTALS, "aflw", 12)
    return write_lists(tmp_path)


@pytest.mark.parametrize(("split", "names"), [("l_2", NAMES[:2]), ("l_4", NAMES[:4]), ("test", TEST)])
def test_labels_become_pixels_of_the_crop(root, split, names):
    """c = 0 is the crop's left edge, half a pixel left of the first centre; c = 1 its right edge."""
    loaded = read("aflw", root, split)
    assert loaded.problems == ()
    assert [sample.name for sample in loaded.samples] == names
    for sample in loaded.samples:
        np.testing.assert_allclose((sample.points + 0.5) / SIDE, labels(sample.name), atol=1e-6)
        assert sample.box == Box(-0.5, -0.5, SIDE - 0.5, SIDE - 0.5)


def test_unlabelled_lists_carry_no_points(root):
    loaded = read("aflw", root, "u_4")
    assert [sample.name for sample in loaded.samples] == NAMES[4:]
    assert all(sample.points is None for sample in loaded.samples)


def test_an_unlabelled_list_may_be_named_by_its_own_count(root):
    (root / "train_semi_u_4.txt").rename(root / "train_semi_u_8.txt")
    assert len(read("aflw", root, "u_4").samples) == 8


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("train_semi_l_2.txt", lambda t: t.replace(NAMES[0], NAMES[9]), "1 names are not in the list of 4"),
        ("train_semi_u_4.txt", lambda t: t.replace(NAMES[5], NAMES[1]), "1 names are unlabelled too"),
        ("train_semi_u_4.txt", lambda t: t.replace(NAMES[5] + "\n", ""), "with the unlabelled 11 names, not 12"),
        ("train_semi_l_4.txt", lambda t: t.replace(" ", " x", 1), "line 1: 'x"),
        (
            "train_semi_l_4.txt",
            lambda t: t.replace(" ", " 0.5 ", 1),
            "line 1: 39 numbers behind the name instead of 38",
        ),
    ],
)
def test_broken_lists_are_named(root, name, change, said):
    file = root / name
    file.write_text(change(file.read_text()))
    assert any(said in line for line in read("aflw", root, "l_4").problems)


def test_a_crop_that_is_missing_is_named(root):
    (root / "images_train" / NAMES[1]).unlink()
    loaded = read("aflw", root, "l_4")
    assert len(loaded.samples) == 3
    assert f"train_semi_l_4.txt line 2: {NAMES[1]} is in none of" in loaded.problems[0]


def test_wflw_s_list_of_1500_is_what_the_6000_unlabelled_names_leave(tmp_path):
    others = [f"wflw_train_{n:04d}.jpg" for n in range(1, 7501) if n % 5]
    assert len(others) == 6000
    (tmp_path / "train_semi_u_6000.txt").write_text("\n".join(others))
    names = labelled_names(tmp_path, "wflw", 1500)
    assert names == [f"wflw_train_{n:04d}.jpg" for n in range(5, 7501, 5)]
    with pytest.raises(InputError, match="train_semi_l_1500"):
        read("wflw", tmp_path, "l_1500")


def test_labelled_names_are_those_of_the_list(root):
    assert labelled_names(root, "aflw", 4) == NAMES[:4]


def test_counts_are_those_of_the_specification():
    assert SETS["stld_wflw"].splits == {
        "l_50": 50, "l_375": 375, "l_750": 750, "l_1500": 1500,
        "u_50": 7450, "u_375": 7125, "u_750": 6750, "u_1500": 6000, "test": 2500,
    }  # fmt: skip
    assert SETS["stld_300w"].splits["u_630"] == 3148 - 630
    assert SETS["stld_aflw"].splits["l_4000"] == 4000
