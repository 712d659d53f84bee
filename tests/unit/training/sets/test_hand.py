"""The hand X-rays against a complete generated copy: STLD's split, Payer's folds, broken rows; and on real images."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from lmdeploy.dataset import read_labelled
from lmdeploy.errors import InputError
from lmdeploy.geometry import crop_matrix, transform
from lmdeploy.schema import load_schema
from lmdeploy.types import Box
from tests.unit.training.sets.fixture_hand import ABSENT, FOLDS, line, points, write_hand
from training.data.sets.hand import HAND, read


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    return write_hand(tmp_path_factory.mktemp("hand"))


@pytest.fixture
def root(complete, tmp_path):
    """A copy whose files may be changed; its images are those of the complete one."""
    shutil.copy(complete / "all.csv", tmp_path)
    shutil.copytree(complete / "cv", tmp_path / "cv")
    (tmp_path / "jpg").symlink_to(complete / "jpg")
    return tmp_path


def ids(samples):
    return [int(sample.path.stem) for sample in samples]


def test_every_split_of_a_complete_copy_has_its_published_count(complete):
    for split, count in HAND.splits.items():
        loaded = read(complete, split)
        assert (len(loaded.samples), loaded.problems) == (count, ()), split


def test_the_split_goes_by_the_order_of_the_files_not_of_the_rows(complete):
    """Files are 3000 to 3909 without 3650: the first 609 end with 3608, and the other 300 test."""
    assert ids(read(complete, "train").samples) == list(range(3000, 3609))
    assert ids(read(complete, "train_550").samples) == list(range(3000, 3550))
    assert ids(read(complete, "valid_59").samples) == list(range(3550, 3609))
    assert ids(read(complete, "test").samples) == [n for n in range(3609, 3910) if n != int(ABSENT)]


def test_folds_are_those_of_the_lists_and_do_not_overlap(complete):
    seen = []
    for number, wanted in FOLDS.items():
        test, train = (ids(read(complete, f"cv{number}_{kind}").samples) for kind in ("test", "train"))
        assert test == [int(name) for name in wanted]
        assert set(test).isdisjoint(train)
        assert len(set(test) | set(train)) == 895
        seen += test
    assert len(set(seen)) == 895


def test_points_are_those_of_the_row_and_the_whole_image_is_cropped(complete):
    sample = HAND.load(complete, "test").samples[7]
    np.testing.assert_array_equal(sample.points, points(sample.path.stem))
    assert sample.box == Box(-0.5, -0.5, 59.5, 39.5)
    # 60 x 40 px to 512 x 512 without keeping the aspect: a pixel's edge at x = 29.5 is the middle
    middle = transform(crop_matrix(sample.box, HAND.rule), np.array([[29.5, 19.5], [0, 0]]))
    by_hand = [[255.5, 255.5], [0.5 * 512 / 60 - 0.5, 0.5 * 512 / 40 - 0.5]]
    np.testing.assert_allclose(middle, by_hand, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda cells: cells[:74], "id 3700: 74 columns instead of 75"),
        (lambda cells: [*cells, "1"], "id 3700: 76 columns instead of 75"),
        (lambda cells: [*cells[:9], "nan", *cells[10:]], "id 3700: 'nan' is not a finite number"),
        (lambda cells: [*cells[:9], "", *cells[10:]], "id 3700: '' is not a finite number"),
    ],
)
def test_a_broken_row_is_named_and_the_split_stays(root, change, said):
    """The row keeps its place in the order: no image moves from one split to another."""
    good = (root / "all.csv").read_text()
    (root / "all.csv").write_text(good.replace(line("3700"), ",".join(change(line("3700").split(",")))))
    loaded = read(root, "test")
    assert len(loaded.problems) == 1
    assert said in loaded.problems[0]
    assert ids(loaded.samples) == [n for n in range(3609, 3910) if n not in (3700, int(ABSENT))]
    assert read(root, "train").problems == ()


def test_ids_that_cannot_be_used_are_named(root):
    rows = (root / "all.csv").read_text()
    (root / "all.csv").write_text(f"{rows}{line('3005')}\n\nhand{line('3006')}\n")
    loaded = read(root, "train")
    assert len(loaded.samples) == 609
    assert loaded.problems[0] == "all.csv line 911: the id 3005 comes twice"
    assert loaded.problems[1].startswith("all.csv line 913: 'hand3006' is no id")
    assert len(loaded.problems) == 2


def test_too_few_images_give_no_split_at_all(root, complete):
    """With an image missing the order would shift, and a test image would become a training image."""
    (root / "jpg").unlink()
    shutil.copytree(complete / "jpg", root / "jpg")
    (root / "jpg" / "3100.jpg").unlink()
    for split in ("train", "valid_59", "test"):
        loaded = read(root, split)
        assert loaded.samples == ()
        assert "only 908 of 909 images" in loaded.problems[0]
        assert "3650, 3100" in loaded.problems[0]
    assert "all.csv id 3100: no image 3100.jpg" in read(root, "cv1_test").problems[0]


def test_broken_fold_lists_are_named(root):
    test = root / "cv" / "set1" / "test.txt"
    test.write_text(test.read_text() + "3400\n7777\n")
    loaded = read(root, "cv1_test")
    assert len(loaded.samples) == 299
    assert loaded.problems[0] == "cv1_test: 3400 stands in both train and test"
    assert "no row for 7777" in loaded.problems[1]
    shutil.rmtree(root / "cv")
    with pytest.raises(InputError, match="ids of Payer's folds"):
        read(root, "cv2_test")


@pytest.mark.parametrize("gone", ["all.csv", "jpg"])
def test_what_is_missing_shows_the_layout(root, gone):
    (root / gone).unlink()
    with pytest.raises(InputError, match=rf"{gone}: no such(.|\n)*all\.csv +910 rows"):
        read(root, "train")


@pytest.mark.data
def test_real_rows_and_folds(shared_data, tmp_path):
    """Nine real images: their rows are the labels of the same folder, and the folds are 298, 298 and 299 ids."""
    hand = shared_data / "hand37"
    for name, of in {"all.csv": "annotations_all.csv", "images": "images", "cv": "cv"}.items():
        (tmp_path / name).symlink_to(hand / of)
    wanted = {sample.name: sample.points for sample in read_labelled(hand, load_schema("hand37"))}
    found = {}
    for number, count in ((1, 298), (2, 298), (3, 299)):
        loaded = read(tmp_path, f"cv{number}_test")
        assert len(loaded.samples) + len(loaded.problems) == count
        found |= {sample.name: sample.points for sample in loaded.samples}
    assert found.keys() == wanted.keys()
    for name, of in wanted.items():
        np.testing.assert_array_equal(found[name], of)
    assert "only 9 of 909 images" in read(tmp_path, "train").problems[0]
