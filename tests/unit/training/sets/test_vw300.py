"""300-VW against what its generated copy holds: frames to the last bit, points, and broken videos."""

from __future__ import annotations

import numpy as np
import pytest

from lmdeploy.images import read_image
from tests.unit.training.sets.fixture_300vw import FRAMES, picture, raw_points, write_video
from training.data.sets import vw300
from training.data.sets.vw300 import INNER_49, VIDEOS, VW300, VW300_49, read


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(vw300, "VIDEOS", {"train": "001 002", "category_c": "410"})
    for video in ("001", "002", "410"):
        write_video(tmp_path, video)
    return tmp_path


def test_every_frame_is_there_with_its_own_points(root):
    loaded = read(root, "train")
    assert loaded.problems == ()
    assert [s.name for s in loaded.samples] == [
        f"{v}/{n:06d}.png" for v in ("001", "002") for n in range(1, FRAMES + 1)
    ]
    for sample in loaded.samples:
        video, frame = sample.name[:3], int(sample.name[4:10])
        assert sample.identity == video
        np.testing.assert_array_equal(read_image(sample.path), picture(video, frame))
        np.testing.assert_allclose(sample.points, raw_points(video, frame) - 1, atol=1e-5)


def test_the_49_points_leave_out_the_jaw_and_two_corners(root):
    assert len(INNER_49) == 49
    assert set(range(68)) - set(INNER_49) == {*range(17), 60, 64}
    (whole, inner) = (data.load(root, "category_c").samples[2] for data in (VW300, VW300_49))
    np.testing.assert_array_equal(inner.points, whole.points[list(INNER_49)])
    # TS3: the box of these points, 0.2 further out on every side, inside the picture
    low, high = inner.points.min(axis=0), inner.points.max(axis=0)
    wanted = np.clip([*(low - 0.2 * (high - low)), *(high + 0.2 * (high - low))], 0, [63, 47, 63, 47])
    assert (inner.box.x0, inner.box.y0, inner.box.x1, inner.box.y1) == pytest.approx(tuple(wanted), abs=1e-4)


def test_frames_that_are_there_are_not_decoded_again(root, monkeypatch):
    first = read(root, "category_c").samples
    first[1].path.unlink()
    before = first[0].path.stat().st_mtime_ns
    assert len(read(root, "category_c").samples) == FRAMES
    np.testing.assert_array_equal(read_image(first[1].path), picture("410", 2))
    assert first[0].path.stat().st_mtime_ns == before
    monkeypatch.setattr(vw300, "open_source", lambda path: pytest.fail("decoded again"))
    assert len(read(root, "category_c").samples) == FRAMES


def test_a_label_without_frame_is_named_and_a_frame_without_label_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(vw300, "VIDEOS", {"train": "001 002"})
    write_video(tmp_path, "001", frames=3, labels=4)
    write_video(tmp_path, "002", frames=4, labels=2)
    loaded = read(tmp_path, "train")
    assert [s.name[:3] for s in loaded.samples] == ["001"] * 3 + ["002"] * 2
    assert len(loaded.problems) == 1
    assert "000004.pts: the video has no such frame" in loaded.problems[0]


def test_broken_videos_and_labels_are_named_and_the_others_stay(root):
    (root / "001" / "vid.avi").unlink()
    (root / "410" / "vid.avi").write_bytes(b"no video" * 50)
    label = root / "002" / "annot" / "000003.pts"
    label.write_text(label.read_text().replace("}", ""))
    loaded = read(root, "train")
    assert [s.name for s in loaded.samples] == [f"002/{n:06d}.png" for n in (1, 2, 4)]
    assert "001: no vid.avi" in loaded.problems[0]
    assert "000003.pts: not a complete .pts file" in loaded.problems[1]
    loaded = read(root, "category_c")
    assert loaded.samples == ()
    assert "vid.avi" in loaded.problems[0]


def test_the_lists_of_videos_are_disjoint_and_complete():
    lists = {split: text.split() for split, text in VIDEOS.items()}
    assert {split: len(videos) for split, videos in lists.items()} == {
        "train": 50,
        "category_a": 31,
        "category_b": 19,
        "category_c": 14,
    }
    assert len({video for videos in lists.values() for video in videos}) == 114
    assert VW300.splits["train"] == 95192
    assert VW300.splits["category_c"] == 26338
