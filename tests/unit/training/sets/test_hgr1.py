"""HGR1 against what its generated copy holds: subjects, points, broken files."""

from __future__ import annotations

import numpy as np
import pytest

from lmdeploy.errors import InputError
from lmdeploy.metrics import normalising_px
from lmdeploy.schema import load_schema
from lmdeploy.types import Box
from tests.unit.training.sets.fixture_hgr1 import GESTURES, NAMES, points, write_hgr1
from training.data.sets.base import load
from training.data.sets.hgr1 import HGR1, gesture, read

SPLITS = {"train": [1, 2, 3, 4, 5, 6, 7, 8], "valid": [11, 12], "test": [9, 10]}
FIRST = "1_P_hgr1_id01_1"


@pytest.fixture
def root(tmp_path):
    return write_hgr1(tmp_path)


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_holds_its_subjects(root, split):
    loaded = read(root, split)
    assert loaded.problems == ()
    wanted = {f"{g}_hgr1_id{n:02d}_1.jpg" for n in SPLITS[split] for g in GESTURES}
    assert {sample.name for sample in loaded.samples} == wanted
    assert {sample.identity for sample in loaded.samples} == {f"id{n:02d}" for n in SPLITS[split]}
    assert {gesture(sample) for sample in loaded.samples} == set(GESTURES)


def test_points_are_those_of_the_file_and_the_whole_image_is_cropped(root):
    for sample in HGR1.load(root, "train").samples:
        np.testing.assert_array_equal(sample.points, points(sample.name.removesuffix(".jpg")))
        assert sample.box == Box(-0.5, -0.5, 79.5, 59.5)
    assert HGR1.rule.size == 64
    assert len(load(HGR1, root, "train", "whole_128").samples) == 24


def test_counts_and_the_wrist_are_the_paper_s():
    """SMT: the wrist is the distance of its points #1 and #25."""
    assert HGR1.splits == {"train": 573, "valid": 163, "test": 162}
    truth = np.zeros((1, 25, 2))
    truth[0, 0], truth[0, 24] = (10, 10), (13, 14)
    assert normalising_px(truth, load_schema("hgr25").normaliser).tolist() == [5]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text[: len(text) // 2], "not a readable XML file"),
        (lambda text: "", "not a readable XML file"),
        (lambda text: text.replace('    <FeaturePoint x="', '    <Point x="', 1), "24 elements FeaturePoint instead"),
        (lambda text: text.replace("<FeaturePoint x=", "<FeaturePoint u=", 1), "'' is not a finite number"),
        (lambda text: text.replace('x="', 'x="e', 1), "is not a finite number"),
        (lambda text: text.replace('WIDTH="80"', 'WIDTH="160"'), "of height and width (60, 160), but"),
    ],
)
def test_a_broken_file_is_named_and_the_others_stay(root, change, said):
    path = root / "feature_points" / f"{FIRST}.xml"
    path.write_text(change(path.read_text()))
    loaded = read(root, "train")
    assert len(loaded.samples) == 23
    assert len(loaded.problems) == 1
    assert f"{FIRST}.xml" in loaded.problems[0]
    assert said in loaded.problems[0]


def test_a_file_that_does_not_state_a_size_is_read(root):
    path = root / "feature_points" / f"{FIRST}.xml"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "IMAGE" not in line))
    assert len(read(root, "train").samples) == 24


def test_what_has_no_counterpart_and_odd_names_are_named(root):
    (root / "feature_points" / f"{FIRST}.xml").unlink()
    (root / "original_images" / "9_A_hgr1_id02_1.jpg").unlink()
    (root / "original_images" / "9_A_hgr1_id03_1.jpg").rename(root / "original_images" / "hand.jpg")
    loaded = read(root, "train")
    assert len(loaded.samples) == len(NAMES) - 12 - 3
    said = " ".join(loaded.problems)
    for part in (f"no feature_points/{FIRST}.xml", "id02_1.xml: no image", "id03_1.xml: no image", "hand: the name"):
        assert part in said
    assert len(loaded.problems) == 4


def test_a_broken_image_is_named(root):
    (root / "original_images" / f"{FIRST}.jpg").write_bytes(b"no picture")
    loaded = HGR1.load(root, "train")
    assert len(loaded.samples) == 23
    assert f"{FIRST}.jpg: not an image" in loaded.problems[0]


def test_the_archives_own_folders_do_and_missing_ones_show_the_layout(root):
    for outer, name in (("hgr1_images", "original_images"), ("hgr1_feature_pts", "feature_points")):
        (root / outer).mkdir()
        (root / name).rename(root / outer / name)
    assert len(read(root, "test").samples) == 6
    (root / "hgr1_feature_pts").rename(root / "other")
    with pytest.raises(InputError, match=r"feature_points: no such folder(.|\n)*original_images"):
        read(root, "test")
