"""WIDER FACE against what its generated copy holds: sizes, points, boxes, broken lines."""

from __future__ import annotations

import numpy as np
import pytest

from lmdeploy.errors import InputError
from lmdeploy.schema import load_schema
from lmdeploy.types import Box
from tests.unit.training.sets.fixture_widerface import BOXES, IMAGES, LABELS, NONE, SEEN, write_lines, write_widerface
from training.data.sets.widerface import WIDERFACE, WIDERFACE_BOXES, read, read_boxes

NAN = np.nan


@pytest.fixture
def root(tmp_path):
    return write_widerface(tmp_path)


def lines_of(loaded):
    return [int(sample.name[-10:-4]) for sample in loaded.samples]


def test_train_holds_the_faces_over_80_px_that_have_points(root):
    loaded = read(root, "train")
    assert loaded.problems == ()
    assert [sample.name for sample in loaded.samples] == ["widerface_train_000002.jpg", "widerface_train_000006.jpg"]
    assert lines_of(read(root, "train_any")) == [2, 3, 6, 7]
    assert WIDERFACE.splits["train"] == 9770


def test_points_box_and_image_are_those_of_the_line(root):
    first, second = read(root, "train").samples
    np.testing.assert_array_equal(first.points, [[40.5, 50.25], [80, 52], [60, 70], [45, 90], [78, 91]])
    np.testing.assert_array_equal(second.points, [[NAN, NAN], [80, 52], [60, 70], [NAN, NAN], [78, 91]])
    assert (first.box, second.box) == (Box(30, 20, 120, 120), Box(5, 6, 86, 87))
    assert (first.identity, second.identity) == tuple(IMAGES)
    assert second.path == root / "WIDER_train" / "images" / IMAGES[1]
    # The first eye and the first corner of the mouth are the ones further left in the image
    names = load_schema("face5").names
    assert [names[k] for k in (0, 3)] == ["eye_left", "mouth_left"]
    assert first.points[0, 0] < first.points[1, 0]


def test_the_policy_crops_the_given_box(root):
    sample = WIDERFACE.load(root, "train").samples[0]
    assert (sample.box.x0, sample.box.y0, sample.box.x1, sample.box.y1) == (30, 20, 120, 120)
    assert (WIDERFACE.rule.kind, WIDERFACE.rule.size) == ("stretch", 128)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"30 20 90 100 {SEEN}", "19 fields instead of 20"),
        (f"30 20 90 100 {SEEN} 0.8 1", "21 fields instead of 20"),
        ("30 20 90", "3 fields instead of 20"),
        ("30 20", "2 fields instead of 20"),
        (f"30 20 90 x {SEEN} 0.8", "'x' is not a finite number"),
        (f"nan 20 90 100 {SEEN} 0.8", "'nan' is not a finite number"),
        (f"30 20 90 100 {SEEN.replace('1.0', '3.0')} 0.8", "a point's flag is none of -1, 0, 1"),
    ],
)
def test_a_broken_line_is_named_and_the_others_stay(root, line, said):
    write_lines(root / "train" / "label.txt", [LABELS[0], line, *LABELS[2:]])
    loaded = read(root, "train")
    assert lines_of(loaded) == [6]
    assert len(loaded.problems) == 1
    assert "label.txt line 2" in loaded.problems[0]
    assert said in loaded.problems[0]


def test_a_list_of_boxes_alone_is_not_taken_for_labels(root):
    """RetinaFace's own label.txt of the validation images has four numbers a face."""
    write_lines(root / "train" / "label.txt", [LABELS[0], "30 20 90 100", *LABELS[2:]])
    assert "4 fields instead of 20" in read(root, "train").problems[0]


def test_faces_without_an_image_s_line_and_missing_images_are_named(root):
    write_lines(root / "train" / "label.txt", [*LABELS[1:], "# 1--Handshaking/none.jpg", f"1 2 90 90 {NONE} 0.1"])
    loaded = read(root, "train")
    assert len(loaded.samples) == 1
    assert "label.txt line 1: no line '# <image>' stands above it" in loaded.problems[0]
    assert "label.txt line 8: no such image" in loaded.problems[-1]


def test_official_boxes_are_unlabelled_samples(root):
    for split in ("train", "val"):
        loaded = read_boxes(root, split)
        assert loaded.problems == ()
        assert [sample.name for sample in loaded.samples] == [
            f"widerface_{split}_000003.jpg",
            f"widerface_{split}_000010.jpg",
        ]
        assert [sample.box for sample in loaded.samples] == [Box(30, 20, 120, 120), Box(5, 6, 86, 88)]
        assert {sample.points for sample in loaded.samples} == {None}
    assert len(WIDERFACE_BOXES.load(root, "val").samples) == 2


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        (BOXES[:9], 8),  # the last face is missing
        (BOXES[:8], 8),  # and its count
        ([*BOXES[:1], "3", *BOXES[2:]], 6),  # three faces are stated, two are there
        ([*BOXES[:1], "two", *BOXES[2:]], 1),
        ([BOXES[2], *BOXES], 1),
    ],
)
def test_a_list_that_breaks_off_is_named_where_it_does(root, lines, number):
    write_lines(root / "wider_face_split" / "wider_face_train_bbx_gt.txt", lines)
    assert f"bbx_gt.txt line {number}: not an image, its count" in read_boxes(root, "train").problems[0]


def test_broken_rows_of_the_official_list_are_named(root):
    lines = [*BOXES[:2], "30 20 90 100 0 0", *BOXES[3:]]
    write_lines(root / "wider_face_split" / "wider_face_val_bbx_gt.txt", lines)
    loaded = read_boxes(root, "val")
    assert lines_of(loaded) == [10]
    assert "line 3: 6 fields instead of 10" in loaded.problems[0]


def test_missing_files_show_the_layout(root):
    (root / "train" / "label.txt").unlink()
    with pytest.raises(InputError, match=r"label\.txt: no such file(.|\n)*of RetinaFace's annotations"):
        read(root, "train")
    with pytest.raises(InputError, match=r"wider_face_split/wider_face_train_bbx_gt\.txt, "):
        read_boxes(root / "train", "train")
