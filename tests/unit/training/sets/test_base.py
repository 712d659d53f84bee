"""The frame that all data sets stand in: split and policy names, problem lines, sizes, labelled lists."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lmdeploy.dataset import Loaded, Sample
from lmdeploy.errors import InputError
from lmdeploy.images import read_image
from lmdeploy.metrics import normaliser_of
from lmdeploy.schema import BUILT_IN, load_schema
from lmdeploy.types import Box
from tests.odd_images import encoded, smooth_picture, with_orientation, write_jpeg
from training.data.sets import SETS
from training.data.sets.base import DataSet, collect, load
from training.data.sets.image_size import image_size
from training.data.sets.policy import POLICIES
from training.data.sets.ratios import COUNTS, TOTALS, labelled, rest

POINTS = np.array([[-4.0, 10.0], [70.0, 30.0]], np.float32)


@pytest.fixture
def toy(tmp_path):
    write_jpeg(tmp_path / "a.jpg", smooth_picture(40, 60))
    (tmp_path / "b.jpg").write_bytes(b"no picture")

    def read(root: Path, split: str) -> Loaded:
        samples = [Sample(name, root / f"{name}.jpg", POINTS, box=Box(5, 5, 50, 35)) for name in "ab"]
        return Loaded(root, tuple(samples), (f"{split}: row 3 is broken",))

    return DataSet("toy", "Toy", "ibug68", {"train": 2}, read, "sepbn", "inter-ocular", "  *.jpg")


def test_load_gives_the_policy_s_box_and_keeps_every_problem(toy, tmp_path):
    loaded = toy.load(tmp_path, "train")
    assert [sample.name for sample in loaded.samples] == ["a"]
    assert loaded.samples[0].box == Box(5, 5, 50, 35)
    assert loaded.problems[0] == "train: row 3 is broken"
    assert "b.jpg: not an image" in loaded.problems[1]
    assert len(loaded.problems) == 2


def test_a_policy_that_clamps_pulls_points_to_the_outermost_pixel_centres(toy, tmp_path):
    (sample,) = load(toy, tmp_path, "train", "stld_aflw").samples
    np.testing.assert_array_equal(sample.points, [[0, 10], [59, 30]])
    (sample,) = load(toy, tmp_path, "train", "stld_wflw").samples
    np.testing.assert_array_equal(sample.points, POINTS)


def test_unknown_names_and_a_missing_folder_say_what_to_do(toy, tmp_path):
    with pytest.raises(InputError, match="toy has no split 'test': choose one of train"):
        load(toy, tmp_path, "test")
    with pytest.raises(InputError, match="'tight' is no crop policy: choose one of celeba"):
        load(toy, tmp_path, "train", "tight")
    with pytest.raises(InputError, match=r"no such folder. Toy is expected as\n  \*\.jpg"):
        load(toy, tmp_path / "elsewhere", "train")


def test_collect_goes_on_behind_a_broken_entry():
    def make(number):
        if number == 2:
            raise InputError("row 2: not a number")
        return Sample(str(number), Path("x"))

    loaded = collect(Path("f"), [1, 2, 3], make)
    assert [sample.name for sample in loaded.samples] == ["1", "3"]
    assert loaded.problems == ("row 2: not a number",)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "progressive", "grey", "turned JPEG", "turned PNG"])
def test_size_without_decoding_is_the_decoded_picture_s(tmp_path, kind):
    image = Image.fromarray(smooth_picture(37, 61))
    content = {
        "progressive": lambda: encoded(image, "JPEG", progressive=True),
        "grey": lambda: encoded(image.convert("L"), "JPEG"),
        "turned JPEG": lambda: with_orientation(image, 6, "JPEG"),
        "turned PNG": lambda: with_orientation(image, 6, "PNG"),
    }.get(kind, lambda: encoded(image, kind))()
    file = tmp_path / "picture"
    file.write_bytes(content)
    assert image_size(file) == read_image(file).shape[:2]
    assert image_size(file) == ((61, 37) if "turned" in kind else (37, 61))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_follows_the_exif_orientation_without_decoding(tmp_path, orientation, monkeypatch):
    file = tmp_path / "turned.jpg"
    file.write_bytes(with_orientation(Image.fromarray(smooth_picture(37, 61)), orientation, "JPEG"))
    wanted = read_image(file).shape[:2]
    monkeypatch.setattr("training.data.sets.image_size.read_image", lambda path: pytest.fail("decoded"))
    assert image_size(file) == wanted


def test_exif_data_that_break_off_lead_to_decoding(tmp_path):
    content = encoded(Image.fromarray(smooth_picture(37, 61)), "JPEG")
    app1 = b"\xff\xe1\x00\x12Exif\x00\x00II*\x00\xff\x00\x00\x00\x00\x00"
    file = tmp_path / "odd.jpg"
    file.write_bytes(content[:2] + app1 + content[2:])
    assert image_size(file) == (37, 61)


def test_size_of_what_is_no_picture_is_an_error(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        image_size(tmp_path / "none.jpg")
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0\x00")
    with pytest.raises(InputError, match=r"cut\.jpg"):
        image_size(tmp_path / "cut.jpg")


def test_labelled_lists_have_the_papers_counts_and_are_nested():
    assert {name: list(counts.values()) for name, counts in COUNTS.items()} == {
        "300w": [50, 157, 315, 630],
        "wflw": [50, 375, 750, 1500],
        "aflw": [200, 1000, 2000, 4000],
    }
    for name, counts in COUNTS.items():
        for label, count in counts.items():
            assert count / TOTALS[name] == pytest.approx(float(label.rstrip("%")) / 100, rel=0.06)
    samples = [Sample(f"{n:04d}", Path("x")) for n in range(TOTALS["300w"])]
    lists = [labelled(samples, "300w", ratio, seed=3) for ratio in COUNTS["300w"]]
    assert [len(names) for names in lists] == [50, 157, 315, 630]
    for smaller, larger in pairwise(lists):
        assert set(smaller) < set(larger)
    left = rest(samples, lists[0])
    assert len(left) == 3098
    assert set(left).isdisjoint(lists[0])
    with pytest.raises(InputError, match="no labelled count for '300w' at '7%'"):
        labelled(samples, "300w", "7%")


@pytest.mark.parametrize("name", sorted(SETS))
def test_every_set_is_complete(name):
    data = SETS[name]
    assert data.name == name
    assert data.crop in POLICIES
    assert data.schema is None or data.schema in BUILT_IN
    assert data.splits
    if data.schema is not None:
        assert normaliser_of(load_schema(data.schema), data.normaliser).name == data.normaliser
    assert data.layout.strip()
    assert set(data.remarks) <= set(data.splits)
