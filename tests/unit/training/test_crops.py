"""The cache of decoded crops: exact slices, points that follow, errors that name every file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lmdeploy.dataset import read_labelled
from lmdeploy.errors import DataError, InputError
from lmdeploy.geometry import CropRule, crop_image, crop_matrix, landmark_box, transform
from lmdeploy.images import read_image
from lmdeploy.schema import load_schema
from training.data import crops

RULE = CropRule(size=64)


def samples(folder: Path) -> list[crops.Sample]:
    found = read_labelled(folder, load_schema("ibug68"))
    return [replace(s, box=landmark_box(s.points)) for s in found if s.points is not None]


def test_the_plain_crop_is_a_slice_of_the_cached_one(toy: Path, tmp_path: Path) -> None:
    built = crops.build(samples(toy / "labelled"), 68, RULE, tmp_path, "labelled")
    start = (built.images.shape[1] - 64) // 2
    assert built.images.shape == (12, 96, 96, 3)
    for i, sample in enumerate(samples(toy / "labelled")):
        assert sample.box is not None
        assert sample.points is not None
        matrix = crop_matrix(sample.box, RULE)
        plain = crop_image(read_image(sample.path), matrix, 64)
        difference = np.abs(plain.astype(int) - built.images[i, start : start + 64, start : start + 64])
        assert difference.mean() < 0.3  # grey levels; OpenCV rounds coordinates to 1/32 px: measured mean 0.05, max 3
        assert difference.max() <= 6
        np.testing.assert_allclose(built.points[i] - start, transform(matrix, sample.points), atol=1e-3)
    np.testing.assert_allclose(built.points_frame(built.points)[0], samples(toy / "labelled")[0].points, atol=1e-3)


def test_the_cache_is_read_again_and_made_anew_for_another_box_or_rule(toy: Path, tmp_path: Path) -> None:
    mine = samples(toy / "labelled")[:2]
    crops.build(mine, 68, RULE, tmp_path, "a")
    (file,) = tmp_path.glob("a-*.npy")
    stamp = file.stat().st_mtime_ns
    crops.build(mine, 68, RULE, tmp_path, "a")
    assert file.stat().st_mtime_ns == stamp
    assert mine[0].box is not None
    moved = [replace(mine[0], box=replace(mine[0].box, x0=mine[0].box.x0 - 1)), mine[1]]
    crops.build(moved, 68, RULE, tmp_path, "a")
    crops.build(mine, 68, CropRule(size=96), tmp_path, "a")
    assert len(list(tmp_path.glob("a-*.npy"))) == 3


def test_broken_images_are_all_named_and_leave_no_cache(toy: Path, tmp_path: Path) -> None:
    bad = []
    for name in ("one.jpg", "two.jpg"):
        path = tmp_path / name
        path.write_bytes(b"\xff\xd8 not a picture")
        bad.append(replace(samples(toy / "labelled")[0], name=name, path=path))
    with pytest.raises(DataError) as caught:
        crops.build([*bad, *samples(toy / "labelled")], 68, RULE, tmp_path / "cache", "x")
    assert "one.jpg" in str(caught.value)
    assert "two.jpg" in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_no_image_at_all_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no image is left"):
        crops.build([], 68, RULE, tmp_path, "unlabelled")


def test_labels_csv_reads_back_as_labels(tmp_path: Path, toy: Path) -> None:
    points = np.random.default_rng(0).uniform(0, 99, (12, 68, 2)).astype(np.float32)
    points[3, 5] = np.nan
    names = tuple(s.name for s in samples(toy / "labelled"))
    (tmp_path / "images").symlink_to(toy / "labelled" / "images")
    (tmp_path / "landmarks.csv").write_text(crops.labels_csv(names, points))
    back = read_labelled(tmp_path, load_schema("ibug68"))
    np.testing.assert_allclose(np.stack([s.points for s in back if s.points is not None]), points, atol=1e-3)
