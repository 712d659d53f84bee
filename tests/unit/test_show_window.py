"""Window or browser, and how a view hangs on a run; OpenCV's window is a stand-in, for the usual wheel has none."""

from __future__ import annotations

import os
import sys
import threading
import time
import urllib.request
import webbrowser

import cv2
import numpy as np
import pytest

from lmdeploy.detect import open_detector
from lmdeploy.landmarker import Landmarker
from lmdeploy.show import window
from lmdeploy.show.choose import Shown, open_view
from lmdeploy.show.live import Show, has_screen
from lmdeploy.show.window import Window
from lmdeploy.types import U8
from lmdeploy.video.follow import Following
from lmdeploy.video.frame import Frame
from lmdeploy.video.pipeline import Summary, run
from tests.blob_video import Kept, Made
from tests.fake_model import constant, fake_model
from tests.tiny_bundle import BLOBS3

Q, SPACE, NONE = ord("q"), ord(" "), -1


class Screen:
    """Takes the place of OpenCV's window functions; `keys` are pressed one a look, then none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, keys: list[int], *, build: str = "QT5") -> None:
        self.pictures: list[U8] = []
        self.keys, self.open, self.looks = iter(keys), False, 0
        monkeypatch.setenv("DISPLAY", ":99")
        monkeypatch.delenv("SSH_CONNECTION", raising=False)
        monkeypatch.setattr(cv2, "getBuildInformation", lambda: f"\n  GUI:                {build}\n    QT: YES\n")
        monkeypatch.setattr(cv2, "namedWindow", lambda name, flags: setattr(self, "open", True))
        monkeypatch.setattr(cv2, "imshow", self.show)
        monkeypatch.setattr(cv2, "pollKey", self.look)
        monkeypatch.setattr(cv2, "waitKey", lambda ms: self.look())
        monkeypatch.setattr(cv2, "getWindowProperty", lambda name, what: float(self.open))
        monkeypatch.setattr(cv2, "destroyWindow", lambda name: setattr(self, "open", False))

    def show(self, name: str, picture: U8) -> None:
        self.open = True
        self.pictures.append(picture)

    def look(self) -> int:
        self.looks += 1
        return next(self.keys, NONE)


def made_run(view: Window | Show, count: int, *, stream: bool = True) -> tuple[Summary, Kept]:
    points = np.array([[40.0, 40.0], [100.0, 45.0], [70.0, 100.0]], np.float32)
    landmarker = Landmarker(fake_model(constant(points), BLOBS3), lambda: open_detector("whole_image"))
    kept = Kept()
    return run(Made(count, stream=stream), lambda: landmarker, Following(), [Shown(view), kept]), kept


def test_headless_opencv_gives_the_browser_s_view(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    Screen(monkeypatch, [], build="NONE")
    told: list[str] = []
    view = open_view(BLOBS3, Made(1), "clip", told.append)
    assert isinstance(view, Show)
    view.close()
    assert opened == [view.address]
    assert view.address in told[0]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a screen")
def test_without_a_screen_no_browser_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda address: pytest.fail("there is nothing to open it on"))
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not has_screen()
    with Show(BLOBS3, browser=True) as show, urllib.request.urlopen(show.address, timeout=10) as page:
        assert page.status == 200


def test_window_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch, [])
    assert isinstance(open_view(BLOBS3, Made(1), "clip", lambda text: None), Window)
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if sys.platform == "linux":
        assert not window.has_window()
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setattr(cv2, "namedWindow", lambda name, flags: (_ for _ in ()).throw(cv2.error("no GTK")))
    assert not window.has_window()
    assert screen.pictures == []


def test_stream_runs_through_the_window_and_q_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch, [NONE, NONE, SPACE, Q])
    view = Window()
    summary, kept = made_run(view, 30)
    assert (summary.frames, len(kept.faces), len(screen.pictures)) == (4, 4, 4)
    assert (summary.interrupted, summary.problems) == (False, [])
    assert screen.open  # until its owner closes it
    view.close()
    view.close()
    assert not screen.open


def test_window_shows_blue_green_red(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch, [])
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[..., 0] = 200
    Window().write(Frame(picture, 0, 0.0, "a"), [], picture)
    assert screen.pictures[0][0, 0].tolist() == [0, 0, 200]


def test_still_images_wait_for_a_key_each(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch, [NONE, NONE, SPACE, NONE, SPACE, SPACE])
    summary, _ = made_run(Window(), 3, stream=False)
    assert (summary.frames, screen.looks) == (3, 6)


def test_closing_the_window_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch, [])
    threading.Timer(0.3, lambda: setattr(screen, "open", False)).start()
    monkeypatch.setattr(cv2, "waitKey", lambda ms: (time.sleep(0.01), NONE)[1])
    summary, kept = made_run(Window(), 3, stream=False)
    assert (summary.frames, len(kept.faces)) == (1, 1)


def test_ctrl_c_ends_the_wait_for_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    import signal

    Screen(monkeypatch, [])
    pressed: list[int] = []

    def press(ms: int) -> int:
        if not pressed:
            pressed.append(1)
            os.kill(os.getpid(), signal.SIGINT)
        return NONE

    monkeypatch.setattr(cv2, "waitKey", press)
    summary, kept = made_run(Window(), 3, stream=False)
    assert (summary.interrupted, len(kept.faces)) == (True, 1)


def test_stop_in_the_browser_ends_the_run_before_the_next_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    with Show(BLOBS3) as show:
        before = show.write

        def write(frame: Frame, *rest: object) -> None:
            before(frame, *rest)  # type: ignore[arg-type]  # handed through
            if frame.index == 5:
                urllib.request.urlopen(show.address + "stop", data=b"", timeout=10).close()

        monkeypatch.setattr(show, "write", write)
        summary, kept = made_run(show, 30)
        assert (summary.frames, len(kept.faces), summary.interrupted) == (6, 6, False)
        show.wait()
