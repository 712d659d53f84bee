"""Every kind of broken COCO keypoint file: what is wrong is named, and the other objects stay."""

from __future__ import annotations

import json

import pytest

from lmdeploy.errors import InputError
from tests.odd_images import smooth_picture, write_jpeg
from tests.unit.training.sets.fixture_coco import content, write_coco
from training.data.sets.coco import coco

FILE = "annotations/person_keypoints_val2017.json"


def read(root):
    return coco().load(root, "val2017")


def changed(part, index, **fields):
    rows = content()[part]
    rows[index] = {key: value for key, value in {**rows[index], **fields}.items() if value is not None}
    return {part: rows}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"id": None}, "annotations[1]: id"),
        ({"id": 1}, "annotations[1]: the id 1 comes twice"),
        ({"image_id": 99}, "annotation 2: no image has the id 99"),
        ({"image_id": None}, "annotations[1]: image_id: Field required"),
        ({"category_id": None}, "annotations[1]: category_id: Field required"),
        ({"keypoints": [1, 2, 2] * 4}, "annotation 2: 12 numbers, not the category's 15"),
        ({"keypoints": [1, 2, 2] * 6}, "annotation 2: 18 numbers, not the category's 15"),
        ({"keypoints": [1, 2, 2, 3]}, "annotation 2: 4 numbers, not the category's 15"),
        ({"keypoints": [1, 2, 3] * 5}, "annotation 2: a visibility flag is none of 0, 1, 2"),
        ({"keypoints": [1, 2, 0.4] * 5}, "annotation 2: a visibility flag is none of 0, 1, 2"),
        ({"keypoints": [float("nan"), 2, 2] * 5}, "annotations[1]: keypoints.0: Input should be a finite number"),
        ({"keypoints": ["x", 2, 2] * 5}, "annotations[1]: keypoints.0: Input should be a valid number"),
        ({"keypoints": "none"}, "annotations[1]: keypoints"),
        ({"bbox": [1, 2, 0, 4]}, "annotation 2: the box (0.5, 1.5, 0.5, 5.5) has no area"),
        ({"bbox": [1, 2, 3]}, "annotations[1]: bbox"),
        ({"iscrowd": "perhaps"}, "annotations[1]: iscrowd"),
    ],
)
def test_a_broken_object_is_named(tmp_path, fields, said):
    loaded = read(write_coco(tmp_path, **changed("annotations", 1, **fields)))
    assert [sample.name[-5] for sample in loaded.samples] == ["1", "6", "7"]
    assert len(loaded.problems) == 1
    assert said in loaded.problems[0]
    assert "person_keypoints_val2017.json" in loaded.problems[0]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"file_name": "none.jpg"}, "no such image"),
        ({"file_name": ""}, "no image has the id 785"),
        ({"file_name": None}, "no image has the id 785"),
        ({"width": 240}, "the file says (100, 240); it is another image"),
        ({"height": 120, "width": 100}, "the file says (120, 100); it is another image"),
    ],
)
def test_a_broken_image_record_is_named_with_its_objects(tmp_path, fields, said):
    loaded = read(write_coco(tmp_path, **changed("images", 0, **fields)))
    assert [sample.name[-5] for sample in loaded.samples] == ["6", "7"]
    assert [said in line for line in loaded.problems[-2:]] == [True, True]
    assert (len(loaded.problems) == 3) == ("images[0]: file_name" in loaded.problems[0])


def test_a_record_without_a_size_is_not_compared(tmp_path):
    write_coco(tmp_path, **changed("images", 0, width=None, height=None))
    write_jpeg(tmp_path / "val2017" / "000000000785.jpg", smooth_picture(99, 130))
    assert len(read(tmp_path).samples) == 4


def test_a_broken_image_is_named(tmp_path):
    write_coco(tmp_path)
    (tmp_path / "val2017" / "000000000872.jpg").write_bytes(b"no picture")
    loaded = read(tmp_path)
    assert len(loaded.samples) == 2
    assert all("000000000872.jpg: not an image" in line for line in loaded.problems)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a readable JSON file"),
        (json.dumps(content())[:500], "not a readable JSON file"),
        ("[]", "no list 'images' in it"),
        ("{}", "no list 'images' in it"),
        (json.dumps({**content(), "annotations": {}}), "no list 'annotations' in it"),
        (json.dumps({**content(), "categories": [{"id": 1, "name": "dog"}]}), "no category has keypoints"),
        (json.dumps({**content(), "categories": []}), "no category has keypoints"),
    ],
)
def test_another_file_is_an_error(tmp_path, text, said):
    (write_coco(tmp_path) / FILE).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=f"person_keypoints_val2017.json: {said}"):
        read(tmp_path)


def test_a_category_that_is_broken_is_named_and_its_objects_are_passed_over(tmp_path):
    broken = {"id": 2, "name": "dog", "keypoints": 5}
    loaded = read(write_coco(tmp_path, categories=[content()["categories"][0], broken]))
    assert len(loaded.samples) == 4
    assert "categories[1]: keypoints" in loaded.problems[0]


def test_missing_files_show_the_layout(tmp_path):
    write_coco(tmp_path)
    with pytest.raises(InputError, match=r"train2017\.json: no such file(.|\n)*NAME\.json"):
        coco().load(tmp_path, "train2017")
