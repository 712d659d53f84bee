"""Which labels a run may see."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from lmdeploy.detect.whole_image import WholeImage
from lmdeploy.errors import InputError
from lmdeploy.geometry import landmark_box
from lmdeploy.schema import load_schema
from lmdeploy.types import U8, Box
from training.data import boxes
from training.data.boxes import find_boxes
from training.data.pools import read_pools, without_labels

SCHEMA = load_schema("ibug68")


def test_labelled_and_hidden_are_disjoint_and_cover_the_folder(toy: Path) -> None:
    pools = read_pools(toy / "labelled", "5", [toy / "unlabelled"], SCHEMA, seed=1)
    labelled, hidden = ({s.name for s in part} for part in (pools.labelled, pools.hidden))
    assert len(labelled) == 5
    assert not labelled & hidden
    assert len(labelled | hidden) == 12
    assert len(pools.unlabelled) == 10
    assert all(sample.points is None for sample in without_labels(pools.hidden))


def test_a_list_names_the_labelled_images(toy: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("toy_1_0003.png\ntoy_1_0007.png\n")
    pools = read_pools(toy / "labelled", str(tmp_path / "list.txt"), [], SCHEMA, seed=1)
    assert [sample.name for sample in pools.labelled] == ["toy_1_0003.png", "toy_1_0007.png"]


def test_hidden_labels_never_reach_training_and_true_boxes_only_when_asked_for(toy: Path) -> None:
    pools = read_pools(toy / "labelled", "5", [], SCHEMA, seed=1)
    asked = find_boxes(pools, "gt", None, unlabelled=True)
    assert all(sample.points is None for sample in asked.unlabelled)
    assert any("ground truth of 7 images" in note for note in asked.notes)
    truth = {sample.name: landmark_box(sample.points) for sample in pools.hidden if sample.points is not None}
    assert {sample.name: sample.box for sample in asked.unlabelled} == truth
    found = find_boxes(pools, "whole_image", None, unlabelled=True)
    assert all(sample.box != truth[sample.name] for sample in found.unlabelled)
    assert len(found.unlabelled) == 7


def test_a_detector_that_finds_nothing_is_told_and_fatal_only_where_it_is_needed(toy: Path) -> None:
    pools = read_pools(toy / "labelled", "5", [toy / "unlabelled"], SCHEMA, seed=1)
    kept = find_boxes(pools, "file", None, unlabelled=True)
    assert "haar" in kept.maps or any("no box map for haar" in note for note in kept.notes)
    assert len(kept.unlabelled) == 10
    assert any("7 of 17 images, dropped" in note for note in kept.notes)
    with pytest.raises(InputError, match="choose gt, file"):
        find_boxes(pools, "magic", None, unlabelled=True)


def test_the_box_map_is_fitted_on_labelled_images(toy: Path) -> None:
    pools = read_pools(toy / "labelled", None, [], SCHEMA, seed=1)
    map_ = find_boxes(pools, "whole_image", None, unlabelled=True).maps["whole_image"]
    boxes = [landmark_box(s.points) for s in pools.labelled if s.points is not None]
    assert map_.sw == pytest.approx(np.median([box.width for box in boxes]) / 160, rel=1e-6)


def test_what_the_detectors_found_is_kept_until_an_image_changes(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = tmp_path / "frames"
    shutil.copytree(toy / "unlabelled", frames)
    pools = read_pools(toy / "labelled", "5", [frames], SCHEMA, seed=1)
    looked: list[int] = []

    class Left(WholeImage):
        """Finds the left half; nothing in every fifth image."""

        def detect(self, image: U8) -> list[Box]:
            looked.append(1)
            return [] if len(looked) % 5 == 0 else [Box(0, 0, image.shape[1] / 2, image.shape[0])]

    monkeypatch.setattr(boxes, "open_detector", lambda name, yunet: Left())
    first, plain = (find_boxes(pools, "whole_image", None, True, cache) for cache in (tmp_path / "cache", None))
    assert len(first.unlabelled) < 17
    again = len(looked)
    second = find_boxes(pools, "whole_image", None, True, tmp_path / "cache")
    assert len(looked) == again
    assert [(s.name, s.box) for s in second.unlabelled] == [(s.name, s.box) for s in first.unlabelled]
    assert (second.maps, second.notes) == (first.maps, first.notes)
    assert len(plain.unlabelled) > 0
    image = next(frames.rglob("*.png"))
    image.write_bytes(image.read_bytes() + b"\0")
    find_boxes(pools, "whole_image", None, True, tmp_path / "cache")
    assert len(looked) > again
