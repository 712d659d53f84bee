"""Live sources: pauses, outages, give-up, times, and what a broken device may not do."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import repeat

import cv2
import numpy as np
import pytest

from benchmarks.scripted_camera import Lives, ScriptedCapture, paced
from lmdeploy.errors import InputError
from lmdeploy.types import U8
from lmdeploy.video.camera import Camera
from lmdeploy.video.connect import UNUSABLE, OpenCVConnection, shown
from lmdeploy.video.frame import Frame
from lmdeploy.video.retry import Link, Retry
from lmdeploy.video.slot import Slot
from lmdeploy.video.source import open_source
from lmdeploy.video.timeline import Timeline

SOON = Retry(first_s=0.001, longest_s=0.002, jitter=0.0)
AWAY = InputError("away")


def grey(value: int, height: int = 4, width: int = 6) -> U8:
    return np.full((height, width, 3), value, np.uint8)


def values(connect: Lives, retry: Retry = SOON) -> tuple[list[tuple[int, int]], Link, list[str]]:
    """(part, grey value) of every picture that a link gives."""
    heard: list[str] = []
    link = Link("door", connect, retry, heard.append)
    found = [(part, int(picture.rgb()[0, 0, 0])) for part, picture in link.pictures(connect())]
    return found, link, heard


def test_pauses_double_to_a_limit_and_vary() -> None:
    retry = Retry(first_s=0.5, factor=2, longest_s=3, jitter=0.2)
    assert [retry.pause_s(n, 0.0) for n in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert retry.pause_s(0, 1.0) == pytest.approx(0.6)
    assert retry.pause_s(10**6, -1.0) == pytest.approx(2.4)


def test_pauses_grow_with_every_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    lives = Lives([[grey(1)], *[AWAY] * 4, [grey(2)]], AWAY)
    link = Link("door", lives, Retry(first_s=1, jitter=0, longest_s=8), lambda sentence: None)
    monkeypatch.setattr(link.closing, "wait", lambda s: waited.append(s) or len(waited) > 7)
    assert [part for part, _ in link.pictures(lives())] == [0, 1]
    assert waited == [1, 2, 4, 8, 8, 8, 8, 8]  # the picture in between came too fast to count as recovered


def test_lost_source_comes_back_and_is_told_of_once() -> None:
    lives = Lives([[grey(1), grey(2)], AWAY, OSError("busy"), [], [grey(3)]], AWAY)
    found, link, heard = values(lives, Retry(first_s=0.001, longest_s=0.002, give_up_s=0.6))
    assert found == [(0, 1), (0, 2), (2, 3)]  # the connection without a picture counts as one, too
    assert all(capture.released for capture in lives.opened)
    assert link.outages == 2
    assert len(heard) == 3
    assert heard[0] == "door: no more pictures; it is tried again until it is back"
    assert heard[1].startswith("door: pictures again, after 0.")
    assert link.given_up == "door: no pictures for 0.6 s, given up; is it still connected?"


def test_device_that_throws_and_gives_rubbish_is_opened_anew() -> None:
    rubbish = [np.zeros((0, 0, 3), np.uint8), np.zeros((4, 4), np.float32), "text", np.zeros((4, 4, 2), np.uint8)]
    first = [grey(1), *rubbish, grey(2), cv2.error("gone")]
    lives = Lives([first, [OSError("unplugged")], [np.zeros(3, np.uint8)] * UNUSABLE + [grey(8)], [grey(3)]], AWAY)
    found, _, heard = values(lives, Retry(first_s=0.001, longest_s=0.002, give_up_s=0.6))
    assert [value for _, value in found] == [1, 2, 3]
    assert "gone" in heard[0]


def test_grey_and_four_channel_cameras_are_read_in_the_right_order() -> None:
    bgra = np.zeros((4, 4, 4), np.uint8)
    bgra[..., 2] = 200
    connection = OpenCVConnection(ScriptedCapture([np.full((4, 4), 9, np.uint8), bgra]))
    shades = [picture.rgb()[0, 0].tolist() for _ in range(2) if (picture := connection.read())]
    assert shades == [[9, 9, 9], [200, 0, 0]]


def test_times_follow_the_source_and_bridge_its_outages() -> None:
    timeline = Timeline()
    assert timeline(100.0, 7.0) == 0.0
    assert timeline(100.5, 7.04) == pytest.approx(40)  # the network was late, the source's clock says when
    timeline.interrupt()
    assert timeline(103.5, 0.0) == pytest.approx(3040)  # it counts from zero again, 3 s of ours later
    assert timeline(103.5, 0.04) == pytest.approx(3080)
    assert timeline(104.5, 900.0) == pytest.approx(4080)  # a jump
    assert timeline(105.0, 899.0) == pytest.approx(4580)  # back in time
    assert timeline(105.2, None) == pytest.approx(4780)
    first, second = timeline(105.2, None), timeline(105.2, None)
    assert 4780 < first < second  # never twice the same


def test_slot_replaces_or_waits() -> None:
    frames = [Frame(grey(0), index, None, "") for index in range(3)]
    newest = Slot(every=False)
    assert all(newest.put(lambda now=frame: now) for frame in frames)
    assert (newest.poll() or frames.pop)() is frames[2]
    assert (newest.poll(), newest.dropped) == (None, 2)
    every = Slot(every=True)
    thread = threading.Thread(target=lambda: [every.put(lambda now=frame: now) for frame in frames])
    thread.start()
    got: list[int] = []
    while len(got) < 3:
        every.wait(1)
        if pending := every.poll():
            got.append(pending().index)
    thread.join()
    assert (got, every.dropped) == ([0, 1, 2], 0)


def test_camera_goes_on_after_an_outage_with_growing_times_and_another_part() -> None:
    heard: list[str] = []
    lives = Lives([paced(grey, 100, 0.2), AWAY, paced(grey, 100, 0.2)], AWAY)
    camera = Camera(3, lives, retry=Retry(first_s=0.02, jitter=0, give_up_s=1.0), warn=heard.append)
    frames = list(camera)
    camera.close()
    times = [frame.time_ms or 0.0 for frame in frames]
    indices = [frame.index for frame in frames]
    assert indices == sorted(set(indices))
    assert np.diff(times).min() > 0
    assert {frame.part for frame in frames} == {0, 1}
    assert [s.partition(":")[0] for s in heard] == ["camera 3"] * 3
    assert (camera.outages, len(camera.problems)) == (2, 1)
    assert all(frame.at is not None and 0 <= time.monotonic() - frame.at < 60 for frame in frames)


def test_first_connection_that_fails_is_an_error_and_leaves_no_thread() -> None:
    before = threading.active_count()
    with pytest.raises(InputError, match="away"):
        Camera(0, Lives([AWAY]))
    assert threading.active_count() == before


def test_mistake_in_the_program_reaches_the_consumer() -> None:
    camera = Camera(0, Lives([[0.05, ZeroDivisionError("a bug")]]))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        list(camera)
    camera.close()


def test_close_ends_the_thread_in_mid_pause_and_twice() -> None:
    before = threading.active_count()
    camera = Camera(0, Lives([[grey(1)]], AWAY), retry=Retry(first_s=100))
    next(iter(camera))
    camera.close()
    camera.close()
    assert threading.active_count() == before


def test_stop_ends_the_wait_for_a_camera_that_is_away() -> None:
    camera = Camera(0, Lives([[grey(1)]], AWAY), retry=Retry(first_s=100))
    threading.Timer(0.1, camera.stop).start()
    assert len(list(camera)) == 1
    camera.close()


def test_thousands_of_outages_leave_no_trace_in_memory() -> None:
    lives = Lives(repeat([grey(1)], 2000), AWAY)
    found, link, heard = values(lives, Retry(first_s=1e-6, longest_s=1e-6, give_up_s=0.5))
    assert (len(found), link.outages, len(heard)) == (2000, 2000, 3999)
    assert link.given_up


def test_passwords_are_not_shown() -> None:
    assert shown("rtsp://me:secret@host:554/door?token=abc") == "rtsp://host:554/door"
    assert shown(2) == "camera 2"
    assert shown("rtsp://me:secret@[host/door") == "rtsp://... (Invalid IPv6 URL)"


def test_unread_pictures_of_a_paced_camera_are_lost() -> None:
    def slow() -> Iterator[int]:
        for event in paced(grey, 100, 0.3):
            if not isinstance(event, float):
                yield int(event[0, 0, 0])
                time.sleep(0.035)

    numbers = list(slow())
    assert len(numbers) < 12
    assert numbers[-1] > 20


def test_source_that_is_not_there_yet_is_waited_for() -> None:
    lives, heard = Lives([AWAY, AWAY, [grey(7), 0.2, grey(8)]], AWAY), list[str]()
    retry = Retry(first_s=0.01, longest_s=0.02, give_up_s=0.5)
    camera = Camera(0, lives, retry=retry, warn=heard.append, absent=True)
    assert [(frame.part, int(frame.image[0, 0, 0])) for frame in camera] == [(0, 7), (0, 8)]
    assert lives.tries > 3
    assert heard[0].startswith("camera 0: pictures, after")  # not "again"
    assert camera.outages == 1  # the later one alone
    assert camera.problems == ["camera 0: no pictures for 0.5 s, given up; is it still connected?"]
    camera.close()


def test_source_that_never_comes_is_given_up() -> None:
    camera = Camera(0, Lives([], AWAY), retry=Retry(first_s=0.01, give_up_s=0.1), absent=True)
    assert list(camera) == []
    assert camera.problems == ["camera 0: no pictures for 0.1 s, given up; is it still connected?"]
    camera.close()


@pytest.mark.parametrize("kind", ["http", "rtsp"])
def test_an_address_that_is_none_is_one_sentence_without_its_password(kind: str) -> None:
    with pytest.raises(InputError, match=rf"^{kind}://\.\.\. \(Invalid IPv6 URL\) cannot be opened"):
        open_source(f"{kind}://me:secret@[bad", give_up_s=0.1)
