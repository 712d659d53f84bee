"""COCO keypoint files against what a generated one holds: objects, points, boxes, schemas of one's own."""

from __future__ import annotations

import numpy as np
import pytest

from lmdeploy.errors import InputError
from lmdeploy.types import Box
from tests.unit.training.sets.fixture_coco import IMAGES, NAMES, content, write_coco
from training.data.sets import open_set
from training.data.sets.coco import coco

NAN = np.nan
FIRST = [[50, 40], [60, 30], [40, 30], [NAN, NAN], [NAN, NAN]]
SECOND = [[20, 21], [22, 23], [24, 25], [26, 27], [28.5, 29.5]]


@pytest.fixture
def root(tmp_path):
    return write_coco(tmp_path)


def write_schema(path, names):
    text = f'name = "{path.stem}"\npoints = {len(names)}\nnames = {list(names)}\n'
    path.write_text(text + '[normaliser]\nkind = "distance"\nname = "eyes"\na = [0]\nb = [1]\n', encoding="utf-8")
    return path


def test_one_sample_an_object_that_has_points(root):
    """Crowds, objects without points and other categories are passed over."""
    loaded = coco().read(root, "val2017")
    assert loaded.problems == ()
    names = ["000000000785_1.jpg", "000000000785_2.jpg", "000000000872_6.jpg", "000000000872_7.jpg"]
    assert [sample.name for sample in loaded.samples] == names
    assert [sample.identity for sample in loaded.samples] == [IMAGES[785]] * 2 + [IMAGES[872]] * 2
    assert {sample.path for sample in loaded.samples} == {root / "val2017" / name for name in IMAGES.values()}


def test_a_point_with_flag_0_is_not_annotated_and_a_hidden_one_is(root):
    for sample, wanted in zip(coco().read(root, "val2017").samples, [FIRST, SECOND, SECOND, FIRST], strict=True):
        np.testing.assert_array_equal(sample.points, wanted)


def test_a_box_is_measured_from_the_image_s_corner(root):
    """[0, 0, 120, 100] is all of 120 x 100 px, whose outermost pixel centres are 0 and 119, 0 and 99."""
    boxes = [sample.box for sample in coco().read(root, "val2017").samples]
    assert boxes == [Box(29.5, 19.5, 69.5, 69.5), Box(-0.5, -0.5, 119.5, 99.5), None, Box(30, 20, 70, 70)]


def test_the_policy_takes_the_given_box_else_that_of_the_points(root):
    loaded = coco().load(root, "val2017")
    edges = [(s.box.x0, s.box.y0, s.box.x1, s.box.y1) for s in loaded.samples]
    assert edges[0] == (29.5, 19.5, 69.5, 69.5)
    assert edges[2] == (20, 21, 28.5, 29.5)
    assert (coco().rule.kind, coco().rule.scale) == ("square", 1.25)


def test_a_schema_of_one_s_own_chooses_points_by_name(root, tmp_path):
    schema = write_schema(tmp_path / "eyes.toml", ["right_eye", "left_ear", "nose"])
    data = open_set(f"coco:{schema}")
    samples = data.load(root, "val2017").samples
    np.testing.assert_array_equal(samples[0].points, [[40, 30], [NAN, NAN], [50, 40]])
    np.testing.assert_array_equal(samples[1].points, [[24, 25], [26, 27], [20, 21]])
    assert (data.schema, data.normaliser) == (str(schema), "eyes")
    ears = write_schema(tmp_path / "ears.toml", ["left_ear", "right_ear"])
    # Objects 1 and 7 have no ear that is annotated
    assert [s.name[-5] for s in open_set(f"coco:{ears}").load(root, "val2017").samples] == ["2", "6"]


def test_a_built_in_schema_with_as_many_points_takes_them_in_order(root):
    """face5 has other names than the category."""
    samples = open_set("coco:face5").load(root, "val2017").samples
    np.testing.assert_array_equal(samples[1].points, SECOND)


def test_a_schema_that_does_not_fit_says_what_there_is(root, tmp_path):
    with pytest.raises(InputError, match="schema ibug68 has 68 points, the categories have person 5"):
        open_set("coco:ibug68").load(root, "val2017")
    with pytest.raises(InputError, match=r"schema 'none\.toml' is neither one of"):
        open_set("coco:none.toml")
    with pytest.raises(InputError, match="'coco:' is no published data set"):
        open_set("coco:")


def test_categories_with_different_points_need_a_schema(root, tmp_path):
    one, other = content()["categories"][0], {"id": 3, "name": "cat", "keypoints": ["nose", "tail"]}
    annotation = {"id": 8, "image_id": 872, "category_id": 3, "keypoints": [5, 6, 2, 7, 8, 2], "bbox": [1, 1, 9, 9]}
    objects = [*content()["annotations"], annotation]
    write_coco(root, categories=[one, other], annotations=objects)
    with pytest.raises(InputError, match="categories person, cat have different keypoints; name a schema"):
        coco().read(root, "val2017")
    tail = write_schema(tmp_path / "tail.toml", ["tail", "nose"])
    (sample,) = coco(str(tail)).read(root, "val2017").samples
    np.testing.assert_array_equal(sample.points, [[7, 8], [5, 6]])
    # The nose is in both
    nose = write_schema(tmp_path / "nose.toml", ["nose"]).read_text().replace("b = [1]", "b = [0]")
    (tmp_path / "nose.toml").write_text(nose)
    assert len(coco(str(tmp_path / "nose.toml")).read(root, "val2017").samples) == 5


def test_categories_with_the_same_points_are_read_together(root):
    second = {"id": 2, "name": "child", "keypoints": NAMES}
    objects = content()["annotations"]
    objects[4]["keypoints"] = [1, 2, 2] * 5
    write_coco(root, categories=[content()["categories"][0], second], annotations=objects)
    assert len(coco().read(root, "val2017").samples) == 5


def test_a_file_of_one_s_own_is_the_only_one(root):
    (root / "val2017").rename(root / "images")
    (root / "annotations" / "person_keypoints_val2017.json").rename(root / "mine.json")
    assert len(coco().load(root, "all").samples) == 4
    (root / "other.json").write_text("{}")
    with pytest.raises(InputError, match=r"2 \.json files instead of one(.|\n)*NAME\.json"):
        coco().load(root, "all")
