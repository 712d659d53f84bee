"""The pipeline: every frame in order, results right, sinks closed however it ends, memory bounded."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lmdeploy.landmarker import Landmarker
from lmdeploy.types import U8, Landmarks
from lmdeploy.video.follow import Following
from lmdeploy.video.frame import Frame
from lmdeploy.video.pipeline import run, run_feed
from lmdeploy.video.several import Several
from lmdeploy.video.smooth import Smoother
from lmdeploy.video.track import Tracker
from lmdeploy.writers.ndjson import NdjsonSink
from lmdeploy.writers.wide_csv import CsvSink
from tests.blob_video import Kept, Made, truth
from tests.tiny_bundle import blob_image, make_tiny_bundle


@pytest.fixture(scope="module")
def landmarker(tmp_path_factory: pytest.TempPathFactory) -> Landmarker:
    bundle = make_tiny_bundle(tmp_path_factory.mktemp("b") / "tiny")
    return Landmarker.load(bundle.path, threads=1, detector="whole_image")


class Slow(Kept):
    """Meanwhile every source has its next picture."""

    def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None) -> None:
        time.sleep(0.01)
        super().write(frame, faces, picture)


def test_stream_is_tracked_smoothed_and_delivered_in_order(landmarker: Landmarker) -> None:
    source, kept = Made(40), Kept()
    summary = run(source, lambda: landmarker, Following(Tracker(), Smoother()), [kept])
    assert (summary.frames, summary.with_face, summary.faces, summary.interrupted) == (40, 40, 40, False)
    for index, (face,) in enumerate(kept.faces):
        assert (face.frame, face.track) == (index, 0)
        assert face.time_ms == pytest.approx(1000 * index / 30)
        np.testing.assert_allclose(face.points_raw, truth(index), atol=0.5)
        np.testing.assert_allclose(face.points, truth(index), atol=2.0)  # lag
    moved = [np.abs(f.points - f.points_raw).max() for (f,) in kept.faces[5:]]
    assert min(moved) > 0.01
    assert (source.closed, kept.closed) == (1, 1)


def test_stages_are_timed(landmarker: Landmarker) -> None:
    summary = run(Made(10), lambda: landmarker, Following(Tracker(), Smoother()), [Kept(drawn=True)])
    assert list(summary.stages) == [
        "read",
        "detect",
        "crop",
        "network",
        "back_map",
        "smooth",
        "draw",
        "write",
        "frame",
    ]
    assert summary.stages["detect"].calls == 1
    assert summary.stages["network"].calls == 11  # the first frame looks twice
    parts = sum(summary.stages[s].median_ms for s in ("crop", "network", "back_map", "smooth", "draw", "write"))
    assert parts <= 1.3 * summary.stages["frame"].median_ms


def test_sources_side_by_side_share_batches_and_are_delivered_one_by_one(landmarker: Landmarker) -> None:
    sources, kept = [Made(20), Made(30)], Slow()
    followings = [Following(Tracker(), Smoother()) for _ in sources]
    summary = run_feed(Several(sources, ["a", "b"]), lambda: landmarker, followings, [kept])
    assert (summary.frames, summary.by_source) == (50, {"a": 20, "b": 30})
    assert summary.stages["network"].calls < 45  # alone each takes one a frame and one more for its first: 52
    assert [face.frame for (face,) in kept.faces if face.frame is not None].count(25) == 1
    assert [source.closed > 0 for source in sources] == [True, True]


def test_still_images_are_not_tracked_and_best_faces_are_kept(landmarker: Landmarker) -> None:
    kept = Kept()
    run(Made(3, stream=False), lambda: landmarker, Following(max_faces=1), [kept])
    assert [[(f.track, f.time_ms, f.frame) for f in some] for some in kept.faces] == [
        [(-1, None, i)] for i in range(3)
    ]


def test_pictures_are_drawn_only_when_a_sink_wants_them(landmarker: Landmarker) -> None:
    plain, drawn = Kept(), Kept(drawn=True)
    run(Made(1), lambda: landmarker, Following(Tracker()), [plain])
    run(Made(1), lambda: landmarker, Following(Tracker()), [drawn])
    assert plain.pictures == [None]
    assert drawn.pictures[0] is not None
    assert (drawn.pictures[0] != blob_image(160, 160, truth(0), sigma=5.0)).any()


def test_ctrl_c_ends_after_the_frame_at_hand_with_valid_files(landmarker: Landmarker, tmp_path: Path) -> None:
    source = Made(30, at={7: lambda: os.kill(os.getpid(), signal.SIGINT)})
    sink, kept = CsvSink(tmp_path / "p.csv", 3), Kept()
    before = signal.getsignal(signal.SIGINT)
    summary = run(source, lambda: landmarker, Following(Tracker()), [sink, kept])
    assert signal.getsignal(signal.SIGINT) is before
    assert summary.interrupted
    assert summary.frames == len(kept.faces) == 8
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 9
    assert (source.closed, kept.closed) == (1, 1)


def test_second_ctrl_c_ends_at_once(landmarker: Landmarker) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    kept = Kept()
    with pytest.raises(KeyboardInterrupt):
        run(Made(30, at={3: twice}), lambda: landmarker, Following(Tracker()), [kept])
    assert kept.closed == 1


def test_error_in_mid_stream_closes_everything(landmarker: Landmarker) -> None:
    def fail() -> None:
        raise RuntimeError("a bug")

    source, kept = Made(9, at={4: fail}), Kept()
    with pytest.raises(RuntimeError, match="a bug"):
        run(source, lambda: landmarker, Following(Tracker()), [kept])
    assert (len(kept.faces), source.closed, kept.closed) == (4, 1, 1)


def test_model_replaced_in_mid_stream_takes_over_between_two_frames(landmarker: Landmarker, tmp_path: Path) -> None:
    other = Landmarker.load(make_tiny_bundle(tmp_path / "b", name="other").path, threads=1, detector="whole_image")
    kept = Kept()
    run(Made(10), lambda: landmarker if len(kept.faces) < 6 else other, Following(Tracker(), Smoother()), [kept])
    digests = [some[0].digest for some in kept.faces]
    assert digests == [landmarker.model.digest] * 6 + [other.model.digest] * 4
    assert {some[0].track for some in kept.faces} == {0}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_does_not_grow_over_ten_thousand_frames(landmarker: Landmarker, tmp_path: Path) -> None:
    pages: dict[int, int] = {}

    def note(index: int) -> None:
        pages[index] = int(Path("/proc/self/statm").read_text().split()[1])

    at: dict[int, object] = {index: partial(note, index) for index in (1000, 9999)}
    sinks = [CsvSink(tmp_path / "p.csv", 3), NdjsonSink(tmp_path / "p.ndjson")]
    run(Made(10_000, at=at), lambda: landmarker, Following(Tracker(), Smoother()), sinks)
    grown = (pages[9999] - pages[1000]) * os.sysconf("SC_PAGE_SIZE")
    assert grown < 4e6  # bytes; 9,000 frames of 77 kB went by
