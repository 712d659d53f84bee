"""300-W against what its generated copy holds."""

from __future__ import annotations

import numpy as np
import pytest

from lmdeploy.errors import InputError
from lmdeploy.types import Box
from tests.unit.training.sets.fixture_300w import raw_points, write_300w, write_boxes
from training.data.sets.base import load
from training.data.sets.w300 import W300, read, read_boxes

SPLITS = {
    "train": [
        "afw_134212_1.jpg",
        "afw_134212_2.jpg",
        "helen_trainset_100032540_1.jpg",
        "lfpw_trainset_image_0001.png",
    ],
    "common": ["helen_testset_30427236_1.jpg", "lfpw_testset_image_0001.png", "lfpw_testset_image_0002.png"],
    "challenging": ["ibug_image_003_1.jpg", "ibug_image_092 _01.jpg"],
}
SPLITS["full"] = SPLITS["common"] + SPLITS["challenging"]


@pytest.fixture
def root(tmp_path):
    return write_300w(tmp_path)


@pytest.mark.parametrize("split", sorted(SPLITS))
def test_splits_hold_their_folders(root, split):
    loaded = read(root, split)
    assert [sample.name for sample in loaded.samples] == SPLITS[split]
    assert loaded.problems == ()
    assert all(sample.path.is_file() for sample in loaded.samples)


def test_points_are_moved_to_a_first_pixel_of_zero(root):
    sample = read(root, "challenging").samples[1]
    np.testing.assert_allclose(sample.points, raw_points("ibug", "image_092 _01.jpg") - 1, atol=1e-5)
    assert sample.points.dtype == np.float32
    assert sample.box is None


def test_load_gives_the_box_of_the_stld_rule(root):
    (first, _) = W300.load(root, "challenging").samples
    whole = np.trunc(raw_points("ibug", "image_003_1.jpg") - 1)
    (x0, y0), (x1, y1) = whole.min(axis=0), whole.max(axis=0)
    dx, dy = (x1 - x0) * 0.05, (y1 - y0) * 0.05
    wanted = (max(x0 - dx, 0), max(y0 - dy, 0), min(x1 + dx, 119), min(y1 + dy, 89))
    assert (first.box.x0, first.box.y0, first.box.x1, first.box.y1) == pytest.approx(wanted)


def test_official_boxes_become_the_given_ones(root):
    write_boxes(
        root, "ibug", {n: ([1, 2, 30, 40], [11, 12, 61, 82]) for n in ("image_003_1.jpg", "image_092 _01.jpg")}
    )
    assert [sample.box for sample in read(root, "challenging").samples] == [Box(10, 11, 60, 81)] * 2
    assert read_boxes(root, "ibug", "bb_detector")["image_092 _01.jpg"] == Box(0, 1, 29, 39)
    assert read_boxes(root, "afw") is None
    # 3FabRec: 20 % of 70 on top, 12 % at the bottom
    crop = load(W300, root, "challenging", "fabrec_300w").samples[0].box
    assert (crop.x0, crop.y0, crop.x1, crop.y1) == pytest.approx((10, -3, 60, 89.4))


def test_an_image_without_a_row_of_the_official_boxes_is_named(root):
    write_boxes(root, "ibug", {"image_003_1.jpg": ([1, 2, 30, 40], [11, 12, 61, 82])})
    loaded = read(root, "challenging")
    assert len(loaded.samples) == 1
    assert "image_092 _01.jpg: no row in bounding_boxes_ibug.mat" in loaded.problems[0]


def edited(file, change):
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("}", ""), "not a complete .pts file"),
        (lambda text: text[: len(text) // 2], "not a complete .pts file"),
        (lambda text: "", "not a complete .pts file"),
        (lambda text: text.replace("n_points:  68", "n_points: 67"), "68 points (n_points says 67) instead of 68"),
        (lambda text: "\n".join(text.splitlines()[:3] + text.splitlines()[4:]), "67 points (n_points says 68)"),
        (lambda text: text.replace("n_points", "points"), "the header has no n_points"),
        (lambda text: text.replace("\n}", "x\n}"), "is not a finite number"),
        (lambda text: "\n".join([*text.splitlines()[:-2], "nan 3", "}"]), "'nan' is not a finite number"),
        (lambda text: "\n".join([*text.splitlines()[:-2], "7", "}"]), "the line '7' is not 'x y'"),
    ],
)
def test_a_broken_pts_file_is_named_and_the_others_stay(root, change, said):
    edited(root / "afw" / "134212_2.pts", change)
    loaded = read(root, "train")
    assert [sample.name for sample in loaded.samples] == [n for n in SPLITS["train"] if n != "afw_134212_2.jpg"]
    assert len(loaded.problems) == 1
    assert "134212_2.pts" in loaded.problems[0]
    assert said in loaded.problems[0]


def test_a_label_without_image_and_an_image_without_label_are_named(root):
    (root / "afw" / "134212_1.jpg").unlink()
    (root / "afw" / "134212_2.pts").unlink()
    loaded = read(root, "train")
    assert len(loaded.samples) == 2
    assert "134212_1.pts: no image" in loaded.problems[0]
    assert "134212_2.jpg: no .pts beside it" in loaded.problems[1]


def test_a_truncated_mat_file_is_one_problem(root):
    path = write_boxes(root, "ibug", {"image_003_1.jpg": ([1, 2, 30, 40], [11, 12, 61, 82])})
    content = path.read_bytes()
    for length in (0, 60, 130, 200, len(content) // 2, len(content) - 9):
        path.write_bytes(content[:length])
        loaded = read(root, "challenging")
        assert loaded.samples == ()
        assert len(loaded.problems) == 1, length
        assert "bounding_boxes_ibug.mat" in loaded.problems[0]


def test_a_missing_folder_shows_the_layout(root):
    with pytest.raises(InputError, match=r"no such folder(.|\n)*helen/trainset/       2,000"):
        read(root / "afw", "train")


def test_expected_counts_add_up():
    assert W300.splits["train"] == 337 + 2000 + 811
    assert W300.splits["common"] == 330 + 224
    assert W300.splits["full"] == W300.splits["common"] + W300.splits["challenging"] == 689
