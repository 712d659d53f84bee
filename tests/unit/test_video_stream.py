"""Landmarker.stream: several sources, shared batches, nobody mixed up, nobody held up, nothing left behind."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.scripted_camera import Lives, paced
from benchmarks.stamped_faces import SIZES, StampDetector, black, stamp_of, stamped, truth
from lmdeploy.errors import InputError
from lmdeploy.landmarker import Landmarker
from lmdeploy.model import Model, open_model
from lmdeploy.video.camera import Camera
from lmdeploy.video.follow import FollowOptions
from lmdeploy.video.retry import Retry
from lmdeploy.video.source import open_source
from lmdeploy.video.stream import Seen, Stream
from lmdeploy.video.track import MIN_SCORE
from tests.counting_backend import Counting
from tests.recorded_source import Recorded
from tests.tiny_bundle import make_tiny_bundle

SOON = Retry(first_s=0.001, longest_s=0.002, give_up_s=0.3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return open_model(make_tiny_bundle(tmp_path_factory.mktemp("b") / "tiny").path, threads=1)


@pytest.fixture
def detector() -> StampDetector:
    return StampDetector()


@pytest.fixture
def backend(model: Model) -> Counting:
    return Counting(model.backend)


@pytest.fixture
def landmarker(model: Model, backend: Counting, detector: StampDetector) -> Landmarker:
    return Landmarker(Model(model.spec, backend, model.digest), lambda: detector)


def camera(place: int, seconds: float = 0.5, rate: float = 60) -> Camera:
    return Camera(0, Lives([paced(lambda n: stamped(place, n), rate, seconds)], OSError("off")), retry=SOON)


def check(seen: Seen) -> None:
    """The landmarks are those of this very picture."""
    source, number, there = stamp_of(seen.frame.image)
    assert source == seen.source
    if there and seen.faces:
        (face,) = seen.faces
        np.testing.assert_allclose(face.points_raw, truth(source, number, *seen.frame.image.shape[:2]), atol=0.7)
        assert (face.frame, face.time_ms) == (seen.frame.index, seen.frame.time_ms)
    assert there or not seen.faces


def test_files_give_every_frame_in_shared_batches_and_the_same_as_alone(
    landmarker: Landmarker, backend: Counting
) -> None:
    sources = [Recorded(place, 40) for place in range(4)]
    with landmarker.stream(sources) as stream:
        seen = list(stream)
    assert max(backend.batches) == 4
    for result in seen:
        check(result)
    for place, source in enumerate(sources):
        own = [result for result in seen if result.source == place]
        assert [result.frame.index for result in own] == list(range(40))
        assert {face.track for result in own for face in result.faces} == {0}
        assert all(result.age_ms is None for result in own)
        assert source.closed >= 1
        alone = list(landmarker.stream(Recorded(place, 40)))
        for a, b in zip(own, alone, strict=True):
            np.testing.assert_allclose(a.faces[0].points, b.faces[0].points, atol=1e-3)


def test_sources_in_a_dict_have_its_names(landmarker: Landmarker) -> None:
    with landmarker.stream({"door": Recorded(0, 5), "yard": Recorded(1, 7)}) as stream:
        seen = list(stream)
    for result in seen:
        check(result)
        assert result.frame.source == ("door", "yard")[result.source]
    assert [result.source for result in seen].count(1) == 7
    assert {result.frame.source for result in landmarker.stream([Recorded(0, 2), Recorded(1, 2)])} == {""}


def test_live_sources_have_ages_and_stay_apart(landmarker: Landmarker) -> None:
    with landmarker.stream([camera(0), camera(1), camera(2)]) as stream:
        seen = list(stream)
        ages = stream.stages["age"]
    for result in seen:
        check(result)
    assert {result.source for result in seen} == {0, 1, 2}
    assert ages.calls == len(seen)
    assert all(result.age_ms is not None and result.age_ms > 0 for result in seen)
    assert len(stream.problems) == 3  # each was given up when it was off


def test_slow_network_gets_the_newest_picture_and_ages_do_not_grow(landmarker: Landmarker, backend: Counting) -> None:
    backend.pause_s = 0.05  # three times the interval of the pictures
    with landmarker.stream(camera(0, seconds=1.5)) as stream:
        seen = [(result, stamp_of(result.frame.image)[1]) for result in stream]
    ages = [result.age_ms or 0.0 for result, _ in seen][1:]
    assert np.diff([number for _, number in seen]).mean() > 2  # pictures were left out
    assert np.median(ages[-8:]) < np.median(ages[:8]) + 500  # a queue would end 1000 ms behind


def test_slow_and_broken_sources_do_not_hold_up_the_others(landmarker: Landmarker) -> None:
    dead = Camera(1, Lives([[stamped(1, 0)]], OSError("off")), retry=Retry(first_s=100))
    with landmarker.stream([Recorded(0, 30), dead, Recorded(2, 9, fails=3), Recorded(3, 3, pause_s=0.5)]) as stream:
        counts = [0, 0, 0, 0]
        for result in stream:
            check(result)
            counts[result.source] += 1
            if counts[0] == 30:
                break
        assert counts[2] == 3
        assert counts[3] < 3
        assert stream.problems == ["file 2 is broken"]


def test_mistake_in_one_source_is_not_swallowed(landmarker: Landmarker) -> None:
    mistaken = Camera(0, Lives([[stamped(0, 0), 0.1, ZeroDivisionError("a bug")]]))
    with pytest.raises(ZeroDivisionError), landmarker.stream([mistaken]) as stream:
        list(stream)


def test_live_sources_without_a_face_take_turns_at_the_detector(
    landmarker: Landmarker, detector: StampDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = [
        Camera(0, Lives([paced(lambda n, p=place: black(p, n), 60, 0.5)], OSError("off")), retry=SOON)
        for place in range(3)
    ]
    detector.pause_s = 0.04  # so that each has a picture waiting at each step
    with landmarker.stream(empty) as stream:
        steps = []
        step = stream._sources.step
        monkeypatch.setattr(stream._sources, "step", lambda: steps.append(step()) or steps[-1])
        assert not any(seen.faces for seen in stream)
    assert max(map(len, steps)) == 3
    assert len(detector.asked) <= len([frames for frames in steps if frames])
    asked = [detector.asked.count(place) for place in range(3)]
    assert max(asked) - min(asked) <= 2


def test_change_of_size_and_outage_make_new_faces(landmarker: Landmarker) -> None:
    first = [event for n in range(5) for event in (stamped(0, n, SIZES[0]), 0.06)]
    other = [event for n in range(5) for event in (stamped(0, n, SIZES[1]), 0.06)]
    live = Camera(0, Lives([first + other, other], OSError("off")), retry=SOON)
    with landmarker.stream(live) as stream:
        seen = list(stream)
    who = {(r.frame.part, r.frame.image.shape[:2], face.track) for r in seen for face in r.faces}
    for result in seen:
        check(result)
    assert who == {(0, SIZES[0], 0), (0, SIZES[1], 1), (1, SIZES[1], 2)}


def test_nothing_is_left_when_the_caller_stops_early(landmarker: Landmarker) -> None:
    threads, files = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    sources = [Recorded(0, 10**6), camera(1, seconds=60), Recorded(2, 10**6)]
    with landmarker.stream(sources) as stream:
        for _ in zip(range(10), stream, strict=False):
            pass
    stream.close()
    assert threading.active_count() == threads
    assert len(list(Path("/proc/self/fd").iterdir())) == files


def test_a_loop_that_is_left_frees_the_camera_of_its_dropped_stream(landmarker: Landmarker) -> None:
    before = set(threading.enumerate())
    gone = Lives([[stamped(1, 0)]], OSError("off"))
    captures = Lives([paced(lambda n: stamped(0, n), 60, 60)])
    recorded = Recorded(2, 10**6)
    for _ in landmarker.stream([Camera(0, captures), Camera(1, gone, retry=Retry(first_s=100)), recorded]):
        break
    end = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < end:
        time.sleep(0.01)
    assert not set(threading.enumerate()) - before
    assert captures.opened[0].released
    assert recorded.closed >= 1


def test_stop_from_another_thread_ends_the_iteration(landmarker: Landmarker) -> None:
    dead = Camera(1, Lives([[stamped(0, 0)]], OSError("off")), retry=Retry(first_s=100))
    with landmarker.stream(dead) as stream:
        threading.Timer(0.2, stream.stop).start()
        assert len(list(stream)) == 1


def test_sources_are_opened_from_what_people_type_and_all_or_none(landmarker: Landmarker, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), stamped(0, 7))
    (seen,) = landmarker.stream(tmp_path / "a.png")
    assert seen.faces[0].track == -1  # a still image
    check(seen)
    ready = Recorded(0, 5)
    with pytest.raises(InputError, match="no such file"):
        landmarker.stream([ready, tmp_path / "missing.mp4"])
    assert ready.closed == 1


def test_stream_takes_its_own_options(landmarker: Landmarker, detector: StampDetector) -> None:
    with Stream(landmarker, [Recorded(0, 12)], FollowOptions(smooth=False, min_score=1.0).following) as stream:
        assert not any(seen.faces for seen in stream)  # nobody scores that well
    assert len(detector.asked) == 12


def test_min_score_is_that_of_the_option(landmarker: Landmarker, detector: StampDetector) -> None:
    scores = [float(face.score.mean()) for seen in landmarker.stream(Recorded(0, 12)) for face in seen.faces]
    assert detector.asked == [0]
    below, above = min(scores) - 0.01, min(max(scores) + 0.01, 1.0)
    assert below > MIN_SCORE  # so that the option, and not the default, decides
    assert all(len(seen.faces) == 1 for seen in landmarker.stream(Recorded(0, 12), min_score=below))
    assert not any(seen.faces for seen in landmarker.stream(Recorded(0, 12), min_score=above))


def test_opened_video_is_a_source(landmarker: Landmarker, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "b.png"), stamped(0, 3))
    assert len(list(landmarker.stream(open_source(tmp_path)))) == 1
