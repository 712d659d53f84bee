"""What `check_set` says about a copy: counts, images, points, each fault once."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from lmdeploy import published
from lmdeploy.dataset import Loaded, Sample
from lmdeploy.errors import InputError, MissingExtraError
from lmdeploy.geometry import CropRule
from lmdeploy.published import check_set, open_set
from tests.odd_images import smooth_picture, write_jpeg

INSIDE = np.array([[5, 5], [30, 20], [58, 38]], np.float32)  # in 40 x 60


@dataclass
class Made:
    """A published set of given samples."""

    samples: dict[str, list[Sample]]
    splits: dict[str, int | None]
    problems: tuple[str, ...] = ()
    schema = None
    remarks = {"train": "as it should be"}  # noqa: RUF012  # a constant of the stand-in
    rule = CropRule()

    def load(self, root, split):
        if split not in self.samples:
            raise InputError(f"{root}: no folder for {split}")
        return Loaded(Path(root), tuple(self.samples[split]), self.problems)


@pytest.fixture
def images(tmp_path):
    return [write_jpeg(tmp_path / f"{n}.jpg", smooth_picture(40, 60, seed=n)) for n in range(4)]


def samples(images, points=INSIDE):
    return [Sample(path.name, path, points) for path in images]


def test_a_complete_copy_has_no_problem_and_says_its_counts(images, tmp_path):
    said = []
    data = Made({"train": samples(images), "test": samples(images[:1])}, {"train": 4, "test": None})
    report = check_set(data, tmp_path, (), said.append)
    assert report.problems == ()
    assert report.counts == {"train": 4, "test": 1}
    assert said == ["train: 4 of 4 samples are good (as it should be)", "test: 1 samples are good"]


def test_only_the_asked_splits_are_read(images, tmp_path):
    data = Made({"train": samples(images)}, {"train": 4, "test": 9})
    assert check_set(data, tmp_path, ["train"]).problems == ()


def test_wrong_counts_missing_splits_and_the_reader_s_lines_are_problems(images, tmp_path):
    data = Made({"train": samples(images)}, {"train": 5, "test": 9}, ("row 7 is broken",))
    report = check_set(data, tmp_path, ())
    assert report.problems == (
        "row 7 is broken",
        "train: 4 good samples instead of 5; complete the copy",
        f"{tmp_path}: no folder for test",
    )


def test_a_broken_image_is_named_once_though_it_stands_in_two_splits(images, tmp_path):
    images[2].write_bytes(images[2].read_bytes()[:-30])
    data = Made({"common": samples(images), "full": samples(images)}, {"common": 4, "full": 4})
    report = check_set(data, tmp_path, ())
    assert report.counts == {"common": 3, "full": 3}
    assert sum("2.jpg: the image is truncated" in line for line in report.problems) == 1
    assert len(report.problems) == 3


def test_an_image_of_several_splits_is_decoded_once(images, tmp_path, monkeypatch):
    read, seen = published.read_image, []
    monkeypatch.setattr(published, "read_image", lambda path: (seen.append(path), read(path))[1])
    data = Made({"common": samples(images[:2]), "full": samples(images)}, {"common": 2, "full": 4})
    assert check_set(data, tmp_path, ()).problems == ()
    assert sorted(seen) == images


@pytest.mark.parametrize(
    ("points", "good"),
    [
        ([[5, 5], [30, 20], [58, 38]], True),
        ([[-0.5, -0.5], [59.5, 39.5], [5, 70]], True),  # the outermost pixels' edges are inside
        ([[-0.6, 5], [59.6, 20], [5, 5]], False),
        ([[500, 500], [600, 700], [5, 5]], False),
        ([[np.nan, np.nan], [5, 5], [70, 70]], True),  # half of those that are annotated
        ([[np.nan, np.nan]] * 3, False),
    ],
)
def test_points_that_lie_outside_of_the_image_are_named(images, tmp_path, points, good):
    data = Made({"train": samples(images[:1], np.array(points, np.float32))}, {"train": None})
    report = check_set(data, tmp_path, ())
    assert (report.problems == ()) == good
    if not good:
        assert "points lie in the 60 x 40 px of" in report.problems[0]


def test_sets_are_found_through_the_entry_points():
    assert open_set("300w").splits["full"] == 689
    with pytest.raises(InputError, match="choose one of 300vw"):
        open_set("300x")


def test_an_installation_without_sets_says_what_to_install(monkeypatch):
    monkeypatch.setattr(published, "entry_points", lambda group: list[EntryPoint]())
    with pytest.raises(MissingExtraError, match=r"landmark-deploy\[data\]"):
        open_set("300w")
