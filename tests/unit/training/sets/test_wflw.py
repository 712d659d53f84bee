"""WFLW against what its generated copy holds."""

from __future__ import annotations

import numpy as np
import pytest

from lmdeploy.errors import InputError
from lmdeploy.types import Box
from tests.unit.training.sets.fixture_wflw import BOX, FLAGS, IMAGES, points, write_wflw
from training.data.sets.base import load
from training.data.sets.wflw import ATTRIBUTES, WFLW, read

LIST = "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_test.txt"


@pytest.fixture
def root(tmp_path):
    return write_wflw(tmp_path)


def test_points_box_and_name_are_those_of_the_line(root):
    loaded = read(root, "train")
    assert loaded.problems == ()
    assert [sample.name for sample in loaded.samples] == [f"wflw_train_{n:04d}.jpg" for n in range(1, 6)]
    for row, sample in enumerate(loaded.samples):
        np.testing.assert_allclose(sample.points, points("train", row), atol=1e-5)
        assert sample.box == Box(*BOX)
        assert sample.path == root / "WFLW_images" / IMAGES[row % 2]


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_a_subset_holds_the_lines_with_its_flag(root, attribute):
    column = ATTRIBUTES.index(attribute)
    wanted = [f"wflw_test_{n + 1:04d}.jpg" for n, flags in enumerate(FLAGS["test"]) if flags[column] == "1"]
    assert wanted
    assert [sample.name for sample in read(root, f"test_{attribute}").samples] == wanted


def test_expected_counts_are_those_of_the_specification():
    subsets = {"pose": 326, "expression": 314, "illumination": 698, "makeup": 206, "occlusion": 736, "blur": 773}
    assert WFLW.splits == {"train": 7500, "test": 2500} | {f"test_{name}": count for name, count in subsets.items()}


def test_policies_crop_the_given_box(root):
    box = WFLW.load(root, "test").samples[0].box
    assert (box.x0, box.y0, box.x1, box.y1) == BOX
    box = load(WFLW, root, "test", "stc_wflw").samples[0].box  # 1.2: 6 and 7 px further out, clipped to 0..99, 0..79
    assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx((5, 2, 77, 79))
    box = load(WFLW, root, "test", "fabrec_wflw").samples[0].box
    assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx((11, 9, 71, 86))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda cells: cells[:200], "200 fields instead of 207"),
        (lambda cells: cells[1:], "206 fields instead of 207"),
        (lambda cells: ["x", *cells[1:]], "'x' is not a finite number"),
        (lambda cells: ["inf", *cells[1:]], "'inf' is not a finite number"),
        (lambda cells: [*cells[:203], "2", *cells[204:]], "an attribute is neither 0 nor 1"),
        (lambda cells: [*cells[:198], cells[196], *cells[199:]], "has no area"),
        (lambda cells: [*cells[:206], "0--Parade/none.jpg"], "no such image"),
    ],
)
def test_a_broken_line_is_named_and_the_others_stay(root, change, said):
    lines = (root / LIST).read_text().splitlines()
    lines[2] = " ".join(change(lines[2].split()))
    (root / LIST).write_text("\n".join(lines))
    loaded = read(root, "test")
    assert [sample.name[-8:-4] for sample in loaded.samples] == ["0001", "0002", "0004", "0005", "0006"]
    assert len(loaded.problems) == 1
    assert "list_98pt_rect_attr_test.txt line 3" in loaded.problems[0]
    assert said in loaded.problems[0]


def test_a_short_line_is_named_in_every_subset(root):
    """A line without its attributes must not vanish from a subset without a word."""
    lines = (root / LIST).read_text().splitlines()
    (root / LIST).write_text("\n".join([*lines[:2], lines[2][:100], *lines[3:]]))
    assert len(read(root, "test_blur").problems) == 1


def test_the_lists_may_lie_in_the_folder_itself(root):
    (root / LIST).rename(root / "list_98pt_rect_attr_test.txt")
    assert len(read(root, "test").samples) == 6
    (root / "list_98pt_rect_attr_test.txt").unlink()
    with pytest.raises(InputError, match="WFLW_images/<event>"):
        read(root, "test")
