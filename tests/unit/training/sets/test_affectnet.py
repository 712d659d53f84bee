"""AffectNet against what its generated copy holds: the filter, boxes, broken rows."""

from __future__ import annotations

import pytest

from lmdeploy.errors import InputError
from lmdeploy.types import Box
from tests.unit.training.sets.fixture_affectnet import HEADER, TRAIN, USED, row, write_affectnet, write_list
from training.data.sets.affectnet import AFFECTNET, read

LIST = "Manually_Annotated_file_lists/training.csv"


@pytest.fixture
def root(tmp_path):
    return write_affectnet(tmp_path)


def test_rows_without_an_expression_or_a_face_are_passed_over(root):
    """Expressions 0 to 7 stay (3FabRec: drop 8 and more, then faces without a width)."""
    loaded = read(root, "train")
    assert loaded.problems == ()
    assert [sample.name for sample in loaded.samples] == USED
    assert {sample.points for sample in loaded.samples} == {None}
    assert {sample.box for sample in loaded.samples} == {Box(10, 20, 50, 70)}


def test_the_other_lists_have_their_own_images(root):
    assert [sample.name for sample in read(root, "valid").samples] == [USED[2], USED[5]]
    (only,) = read(root, "automatic").samples
    assert only.path == root / "Automatically_Annotated" / "Automatically_Annotated_Images" / "7" / "a.jpg"


def test_the_policy_extends_the_box_at_the_top_and_more_at_the_bottom(root):
    """40 x 50 at (10, 20): 5 % of 50 at the top, 25 % at the bottom, then a square about it."""
    box = AFFECTNET.load(root, "train").samples[0].box
    assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx((10, 17.5, 50, 82.5))
    assert (AFFECTNET.rule.kind, AFFECTNET.rule.size) == ("square", 256)
    assert AFFECTNET.splits["train"] == 287651


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (row("103/face3.jpg", "x"), "'x' is not a finite number"),
        (row("103/face3.jpg", ""), "'' is not a finite number"),
        (row("103/face3.jpg", 3, "10,20,wide,50"), "'wide' is not a finite number"),
        (row("103/face3.jpg", 3, "NULL,NULL,NULL,NULL"), "'NULL' is not a finite number"),
        (row("103/face3.jpg", 3, "10,20,40,-1"), "has no area"),
        (row("103/none.jpg", 3), "no such image"),
        ("103/face3.jpg,10,20,40", "the row has not as many cells as the header"),
        (row("103/face3.jpg", 3) + ",1", "the row has not as many cells as the header"),
    ],
)
def test_a_broken_row_is_named_and_the_others_stay(root, line, said):
    write_list(root / LIST, [*TRAIN[:3], line, *TRAIN[4:]])
    loaded = read(root, "train")
    assert [sample.name for sample in loaded.samples] == [name for name in USED if name != "103/face3.jpg"]
    assert len(loaded.problems) == 1
    assert "training.csv line 5" in loaded.problems[0]
    assert said in loaded.problems[0]


def test_a_row_that_is_no_face_needs_no_box(root):
    write_list(root / LIST, [row("1/none.jpg", 10, "NULL,NULL,NULL,NULL", "NULL"), *TRAIN])
    assert read(root, "train").problems == ()


def test_a_broken_image_is_named(root):
    (root / "Manually_Annotated_Images" / USED[1]).write_bytes(b"")
    loaded = AFFECTNET.load(root, "train")
    assert len(loaded.samples) == 7
    assert "face1.jpg: " in loaded.problems[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the header has no column 'subDirectory_filePath'"),
        (b",".join(name.encode() for name in HEADER if name != "face_x"), "the header has no column 'face_x'"),
        (b"\xff\xfe\x00", "not a readable CSV file"),
        (",".join(HEADER).encode() + b"\n" + b"9" * 200_000, "not a readable CSV file"),
    ],
)
def test_another_file_in_the_list_s_place_is_an_error(root, content, said):
    (root / LIST).write_bytes(content)
    with pytest.raises(InputError, match=said):
        read(root, "train")


def test_what_is_missing_shows_the_layout(root):
    (root / "Manually_Annotated_Images").rename(root / "other")
    with pytest.raises(InputError, match=r"no such folder(.|\n)*Automatically_Annotated_Images"):
        read(root, "train")
    (root / "automatically_annotated.csv").unlink()
    with pytest.raises(InputError, match=r"automatically_annotated\.csv: no such file"):
        read(root, "automatic")
