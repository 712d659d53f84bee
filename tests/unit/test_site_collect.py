"""Collecting: what is kept and what is not, and that the anchor never gets in (P8)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from lmdeploy.errors import InputError
from lmdeploy.geometry import landmark_box
from lmdeploy.images import read_image
from lmdeploy.site import audit, collect
from lmdeploy.site.collect import collect_frames, collect_source
from lmdeploy.site.config import read_config, set_collecting
from lmdeploy.site.guard import anchor_fingerprints, nearest
from lmdeploy.site.lock import writer
from lmdeploy.site.store import FrameStore, StoredFrame
from lmdeploy.types import U8, Landmarks
from lmdeploy.video.frame import Frame
from tests.site_kit import change_config, copy_site, frames, landmarks_at, make_site, picture, see_blobs


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_site(tmp_path_factory.mktemp("made"), images=12)


@pytest.fixture
def site(made: Path, tmp_path: Path) -> Path:
    return copy_site(made, tmp_path / "site")


def kept(site: Path) -> list[StoredFrame]:
    with FrameStore(site) as store:
        assert store.problems() == []
        return store.kept()


def pictures(images: list[U8]) -> Iterator[Frame]:
    for index, image in enumerate(images):
        yield Frame(image, index, None, f"{index}.png")


def test_new_frames_are_kept_with_everything_known_of_them(site: Path) -> None:
    tally = collect_frames(site, frames(range(100, 110)), see_blobs, "cam")
    assert (tally.frames, tally.kept) == (10, 10)
    found = kept(site)
    assert [(f.source, f.frame, f.time_ms) for f in found] == [("cam", n, 40.0 * n) for n in range(10)]
    assert {f.model for f in found} == {read_config(site).factory}
    with FrameStore(site) as store:
        for number, frame in enumerate(found):
            stored = read_image(store.path(frame.sha256))
            seen = see_blobs(stored)[0].points  # the stored picture shows the object where the row says
            np.testing.assert_allclose(frame.points, seen, atol=1.0)
            box = landmark_box(frame.points)
            assert (frame.box.x0, frame.box.y1) == pytest.approx((box.x0, box.y1), abs=1e-2)
            assert frame.score == pytest.approx(0.9)
            assert stored.shape[0] <= picture(100 + number)[0].shape[0]


def test_picture_keeps_one_box_of_context_within_the_frame() -> None:
    points = np.array([[300, 200], [340, 200], [320, 230]], np.float32)
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    jpeg, row = collect.cut(Frame(image, 3, None, ""), landmarks_at(points), "s", "m", (1, 2))
    stored = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert stored.shape == (112, 122, 3)  # 30 + 2 x 40 and 40 + 2 x 40, ends included
    np.testing.assert_allclose(row.points, points - (260, 160))
    edge = collect.cut(Frame(image, 3, None, ""), landmarks_at(points - (290, 190)), "s", "m", (1, 2))[1]
    np.testing.assert_allclose(edge.points, points - (290, 190))


def test_second_run_of_the_same_source_changes_nothing(site: Path) -> None:
    collect_frames(site, frames(range(100, 110)), see_blobs, "cam")
    before = [f.sha256 for f in kept(site)]
    tally = collect_frames(site, frames(range(100, 110)), see_blobs, "cam")
    assert (tally.kept, tally.duplicate + tally.known) == (0, 10)
    assert [f.sha256 for f in kept(site)] == before


def test_near_duplicates_are_dropped(site: Path) -> None:
    image = picture(100)[0]
    rng = np.random.default_rng(0)
    noisy = [np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8) for _ in range(5)]
    tally = collect_frames(site, pictures([image, *noisy]), see_blobs, "video")
    assert (tally.kept, tally.duplicate) == (1, 5)


@pytest.mark.parametrize("change", ["as it is", "re-encoded", "brighter", "darker", "cropped", "bordered"])
def test_anchor_never_gets_into_the_pool(site: Path, change: str) -> None:
    """Both halves, planted in every guise."""
    changed: list[U8] = []
    for number in range(12):
        image, points = picture(number)
        low, high = np.maximum(points.min(axis=0) - 30, 0).astype(int), (points.max(axis=0) + 30).astype(int)
        coded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 50])[1]
        changed.append(
            {
                "as it is": image,
                "re-encoded": np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1]).astype(np.uint8),
                "brighter": np.clip(image * 1.2 + 10.0, 0, 255).astype(np.uint8),
                "darker": np.clip(image * 0.7, 0, 255).astype(np.uint8),
                "cropped": np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]]),
                "bordered": cv2.copyMakeBorder(image, 40, 9, 60, 3, cv2.BORDER_REPLICATE).astype(np.uint8),
            }[change]
        )
    tally = collect_frames(site, pictures(changed), see_blobs, "sneaky")
    assert (tally.kept, tally.anchor + tally.empty) == (0, 12)
    assert tally.anchor >= 10


def test_anchor_is_known_even_where_the_champion_is_wrong(site: Path) -> None:
    def wrong(image: U8) -> list[Landmarks]:
        return [landmarks_at(np.array([[5, 5], [45, 8], [20, 40]], np.float32))]

    tally = collect_frames(site, pictures([picture(n)[0] for n in range(12)]), wrong, "sneaky")
    assert (tally.kept, tally.anchor) == (0, 12)
    config = read_config(site)
    assert len(anchor_fingerprints(site, config)) == 12 * 27
    assert len(anchor_fingerprints(site, config, wrong)) == 12 * 28
    assert nearest(0, np.array([], np.uint64)) == 64


def test_unsure_frames_and_empty_ones_are_counted(site: Path) -> None:
    grey = np.full((64, 64, 3), 90, np.uint8)
    floor = read_config(site).min_score
    answers = iter([[landmarks_at(picture(100)[1], floor - 0.01)], [landmarks_at(picture(101)[1], floor + 0.01)], []])

    def predict(image: U8) -> list[Landmarks]:
        return next(answers) if image.shape[0] != 128 or (image != picture(0)[0]).any() else []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collect, "anchor_fingerprints", lambda *_: np.array([], np.uint64))
        tally = collect_frames(site, pictures([picture(100)[0], picture(101)[0], grey]), predict, "cam")
    assert (tally.unsure, tally.kept, tally.empty) == (1, 1, 1)


@pytest.mark.parametrize(
    "points",
    [
        [[np.nan, 1], [20, 30], [40, 10]],
        [[-90, -80], [-50, -60], [-70, -20]],
        [[10, 10], [12, 14], [15, 11]],
        [[10, 10], [50, 10], [90, 10]],
    ],
)
def test_points_that_are_nowhere_are_unsure(site: Path, points: list[list[float]]) -> None:
    landmarks = landmarks_at(np.array(points, np.float32))
    none = np.array([], np.uint64)
    assert collect.judge(picture(100)[0], landmarks, read_config(site), none, none)[0] == "unsure"


def test_many_objects_of_one_frame_are_kept_apart(site: Path) -> None:
    left, right = picture(100), picture(101)
    image = np.hstack([left[0], right[0]])

    def both(picture_: U8) -> list[Landmarks]:
        return [landmarks_at(left[1]), landmarks_at(right[1] + (128, 0))] if picture_.shape[1] == 256 else []

    assert collect_frames(site, pictures([image]), both, "cam").kept == 2
    assert len({f.sha256 for f in kept(site)}) == 2


def test_quota_holds_under_ten_times_as_many_frames(site: Path) -> None:
    collect_frames(site, frames(range(100, 104)), see_blobs, "cam")
    quota = sum(f.bytes for f in kept(site))
    change_config(site, quota_mb=quota / 1e6)
    tally = collect_frames(site, frames(range(200, 240)), see_blobs, "cam")
    left = kept(site)
    assert sum(f.bytes for f in left) <= quota
    assert tally.evicted == 4 + tally.kept - len(left)
    on_disk = sum(p.stat().st_size for p in (site / "frames").rglob("*.jpg"))
    assert on_disk == sum(f.bytes for f in left)


def test_full_disk_pauses_with_a_clear_message(site: Path) -> None:
    change_config(site, reserve_mb=1e12)
    with pytest.raises(InputError, match=r"collecting pauses, serving goes on.*quota_mb"):
        collect_frames(site, frames(range(100, 104)), see_blobs, "cam")
    assert kept(site) == []
    assert audit.read_log(site)[-1].event == "collect"


def test_what_was_read_before_an_error_is_kept_and_logged(site: Path) -> None:
    def breaking() -> Iterator[Frame]:
        yield from frames(range(100, 103))
        raise InputError("the camera was pulled out")

    with pytest.raises(InputError, match="pulled out"):
        collect_frames(site, breaking(), see_blobs, "cam")
    assert len(kept(site)) == 3
    assert audit.read_log(site)[-1].data["kept"] == 3


def test_log_holds_neither_names_nor_pixels(site: Path) -> None:
    collect_frames(site, frames(range(100, 103)), see_blobs, "/home/doe/john_doe_1980.mp4")
    assert b"doe" not in (site / "audit.ndjson").read_bytes()


def test_two_collectors_do_not_run_at_once(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "writer", lambda where, name: writer(where, name, wait_s=0.05))
    with writer(site, "collect"), pytest.raises(InputError, match="holds the collect lock"):
        collect_frames(site, frames(range(100, 103)), see_blobs, "cam")


def test_folder_is_collected_with_the_champion_itself(site: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(100, 106):
        cv2.imwrite(str(source / f"{number}.png"), picture(number)[0][..., ::-1])
    (source / "900.png").write_bytes(b"broken")
    tally, told = collect_source(site, str(source), detector="whole_image", every=2)
    assert tally.frames == 3
    assert tally.kept + tally.anchor == 3
    assert "900.png" in told[0]
    assert "3 frames" in tally.sentence()


def test_off_means_off_until_on(site: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "100.png"), picture(100)[0][..., ::-1])
    set_collecting(site, "off")
    with pytest.raises(InputError, match=r"switched off.*--on"):
        collect_source(site, str(tmp_path / "100.png"), detector="whole_image")
    set_collecting(site, "on")
    tally, problems = collect_source(site, str(tmp_path / "100.png"), detector="whole_image")
    assert (tally.frames, problems) == (1, [])
