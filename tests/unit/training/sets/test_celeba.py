"""CelebA against what its generated copy holds: boxes, draws, broken rows."""

from __future__ import annotations

import pytest

from lmdeploy.dataset import Sample
from lmdeploy.errors import InputError
from lmdeploy.split import draw
from lmdeploy.types import Box
from tests.unit.training.sets.fixture_celeba import NAMES, NO_BOX, write_celeba
from training.data.sets import celeba
from training.data.sets.base import load
from training.data.sets.celeba import CELEBA, read


@pytest.fixture
def root(tmp_path):
    return write_celeba(tmp_path)


def lines_of(root):
    return (root / "Anno" / "list_bbox_celeba.txt").read_text().splitlines()[2:]


def test_images_are_unlabelled_and_have_the_list_s_box(root):
    loaded = read(root, "all")
    assert loaded.problems == ()
    assert [sample.name for sample in loaded.samples] == NAMES
    assert {sample.points for sample in loaded.samples} == {None}
    assert [sample.box for sample in loaded.samples[:11]] == [Box(10 + n, 8, 50 + n, 58) for n in range(11)]


def test_the_policy_enlarges_the_box_and_moves_its_top_down(root):
    """40 x 50 at (10, 8): 0.10 * 40 out to either side, 0.15 * 50 down at the top, 0.10 * 50 down at the bottom."""
    box = CELEBA.load(root, "all").samples[0].box
    assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx((6, 15.5, 54, 63))
    assert (CELEBA.rule.kind, CELEBA.rule.size) == ("stretch", 256)


def test_four_zeros_are_no_box_and_a_detector_has_to_find_the_face(root):
    loaded = CELEBA.load(root, "all")
    assert {sample.name: sample.box for sample in loaded.samples}[NO_BOX] is None
    assert loaded.problems == ()
    assert load(CELEBA, root, "all", "whole_256").samples[-1].box == Box(-0.5, -0.5, 79.5, 89.5)


def test_subsets_are_nested_draws_in_the_order_of_the_list(root, monkeypatch):
    monkeypatch.setattr(celeba, "COUNTS", {"20k": 3, "70k": 7, "200k": 12})
    found = {split: [sample.name for sample in read(root, split).samples] for split in ("20k", "70k", "200k")}
    assert {split: len(names) for split, names in found.items()} == {"20k": 3, "70k": 7, "200k": 12}
    assert set(found["20k"]) < set(found["70k"]) < set(found["200k"])
    assert found["70k"] == sorted(found["70k"])
    assert found["20k"] == [name for name in NAMES if name in draw([Sample(n, root) for n in NAMES], 3, seed=0)]


def test_expected_counts_are_those_of_the_specification():
    assert CELEBA.splits == {"20k": 20000, "70k": 70000, "200k": 200000, "all": 202599}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("000003.jpg 12 8 40", "4 fields instead of 5"),
        ("000003.jpg 12 8 40 x", "'x' is not a finite number"),
        ("000003.jpg 12 8 -3 50", "has no area"),
        ("000003.jpg 12 8 0 50", "has no area"),
        ("000099.jpg 12 8 40 50", "no such image"),
    ],
)
def test_a_broken_row_is_named_and_the_others_stay(root, line, said):
    rows = lines_of(root)
    write_celeba(root, [*rows[:2], line, *rows[3:]])
    loaded = read(root, "all")
    assert [sample.name for sample in loaded.samples] == [name for name in NAMES if name != "000003.jpg"]
    assert len(loaded.problems) == 1
    assert "list_bbox_celeba.txt line 5" in loaded.problems[0]
    assert said in loaded.problems[0]


def test_a_list_that_was_cut_short_is_named(root):
    write_celeba(root, lines_of(root)[:9])
    loaded = read(root, "all")
    assert len(loaded.samples) == 9
    assert "9 rows, not the 12 that it states" in loaded.problems[0]


@pytest.mark.parametrize("text", ["", "12\n", "000001.jpg 1 2 3 4\n000002.jpg 1 2 3 4\n", "12\nlefteye_x lefteye_y\n"])
def test_another_file_in_the_list_s_place_is_an_error(root, text):
    (root / "Anno" / "list_bbox_celeba.txt").write_text(text)
    with pytest.raises(InputError, match="so it is another file"):
        read(root, "all")


def test_files_may_lie_in_the_folder_itself_and_missing_ones_show_the_layout(root):
    (root / "Img" / "img_celeba").rename(root / "img_celeba")
    (root / "Anno" / "list_bbox_celeba.txt").rename(root / "list_bbox_celeba.txt")
    assert len(read(root, "all").samples) == 12
    (root / "img_celeba").rename(root / "img_align_celeba")
    with pytest.raises(InputError, match=r"no such folder(.|\n)*202,599 images"):
        read(root, "all")
    (root / "list_bbox_celeba.txt").unlink()
    with pytest.raises(InputError, match=r"list_bbox_celeba\.txt: no such file"):
        read(root, "all")
