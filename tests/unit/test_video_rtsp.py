"""RTSP from a real server: pictures, times, the end, a server that dies, freezes or never was; damaged streams."""

from __future__ import annotations

import http.server
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from lmdeploy.errors import InputError
from lmdeploy.video import connect, network
from lmdeploy.video.camera import Camera
from lmdeploy.video.network import PyAVConnection
from lmdeploy.video.retry import Retry
from lmdeploy.video.source import open_source
from tests.real_rtsp import PYTHON, needs_server
from tests.rtsp_server import RtspServer, free_port, live, recorded
from tests.unit.test_video_source import EVEN, write_video

SOON = Retry(first_s=0.1, longest_s=0.2)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", EVEN, {"movflags": "faststart"})


@pytest.fixture(scope="module")
def server(clip: Path) -> Iterator[RtspServer]:
    assert PYTHON is not None
    server = RtspServer(PYTHON, recorded(clip), live())
    yield server
    server.kill()


def pictures(connection: PyAVConnection, most: int = 1000) -> list[connect.Picture]:
    found: list[connect.Picture] = []
    while len(found) < most and (picture := connection.read()) is not None:
        found.append(picture)
    return found


@needs_server
def test_every_picture_comes_with_the_streams_own_times_and_the_end_is_known(server: RtspServer) -> None:
    connection = PyAVConnection(server.url(0), av)
    found = pictures(connection)
    marks = [round(float(picture.rgb()[8:24, 8:24].mean()) / 4) for picture in found]
    assert marks == list(range(60))
    times = [picture.time_s for picture in found[1:] if picture.time_s is not None]
    np.testing.assert_allclose(np.diff(times) * 1000, np.diff(EVEN[-len(times) :]), atol=1.5)
    assert len(times) >= 57
    assert connection.finished
    arrivals = [picture.at for picture in found]
    assert arrivals[-1] - arrivals[0] > 0.5  # it was sent at its own pace, but for what was sent to begin with
    connection.close()
    connection.close()


@needs_server
def test_recorded_stream_ends_without_being_tried_again(server: RtspServer) -> None:
    heard: list[str] = []
    camera = Camera(server.url(0), warn=heard.append)
    frames = list(camera)
    camera.close()
    assert (heard, camera.problems, camera.outages) == ([], [], 0)
    assert len(frames) > 10
    assert camera.rate == pytest.approx(30, abs=1)
    assert (frames[-1].time_ms or 0) == pytest.approx(EVEN[-1], abs=150)  # the first one's own time may be missing


@needs_server
def test_killed_server_that_returns(server: RtspServer) -> None:
    assert PYTHON is not None
    own, heard = RtspServer(PYTHON, live()), []
    camera = Camera(own.url(), retry=SOON, warn=heard.append)
    frames, killed = [], False
    for frame in camera:
        frames.append(frame)
        if len(frames) == 10 and not killed:
            own.kill()
            killed = True
            threading.Timer(0.3, own.start).start()
        if sum(f.part > 0 for f in frames) == 10:
            break
    camera.close()
    own.kill()
    assert np.diff([f.time_ms for f in frames]).min() > 0
    assert len(heard) == 2 * camera.outages == 2
    assert all(own.url() in sentence for sentence in heard)


@needs_server
def test_frozen_server_counts_as_lost_and_frames_have_an_age(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PYTHON is not None
    monkeypatch.setattr(network, "STALL_S", 2.0)
    own = RtspServer(PYTHON, live())
    heard: list[str] = []
    camera = Camera(own.url(), retry=Retry(give_up_s=0), warn=heard.append)
    ages = []
    for frame in camera:
        assert frame.at is not None
        ages.append(time.monotonic() - frame.at)
        if len(ages) == 40:
            own.freeze()
    camera.close()
    own.kill()
    assert len(ages) >= 40
    assert min(ages) >= 0
    assert "nothing came in time" in heard[0]
    assert "given up" in camera.problems[0]


@needs_server
def test_through_opencv_where_pyav_is_missing(server: RtspServer) -> None:
    capture = connect._open_capture(server.url(1))
    connection = connect.OpenCVConnection(capture)
    found = [picture.rgb().shape for _ in range(5) if (picture := connection.read())]
    connection.close()
    assert found == [(128, 160, 3)] * 5


def test_wrong_address_where_pyav_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match="cannot be opened"):
        open_source(f"rtsp://127.0.0.1:{free_port()}/x")


def test_server_that_never_answers_is_an_error_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "CONNECT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(InputError, match="cannot be opened"):
        open_source(f"rtsp://127.0.0.1:{mute.getsockname()[1]}/x")


@pytest.mark.parametrize("path", ["rtsp://127.0.0.1:{}/x", "http://127.0.0.1:{}/x.mp4", "http://127.0.0.1:{}/live"])
def test_wrong_address_is_an_error_at_once(path: str) -> None:
    before = threading.active_count()
    with pytest.raises(InputError, match=r"cannot be opened|not a video"):
        open_source(path.format(free_port()))
    assert threading.active_count() == before


@needs_server
def test_server_without_such_a_stream_is_named_without_the_password(server: RtspServer) -> None:
    with pytest.raises(InputError, match="404") as caught:
        open_source(server.url(7).replace("//", "//me:secret@"))
    assert "secret" not in str(caught.value)


def test_damaged_packets_are_passed_over(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.ts", EVEN)
    content = bytearray(whole.read_bytes())
    for start in range(len(content) // 4, len(content) // 2, 20_000):
        content[start : start + 1500] = b"\xff" * 1500
    (tmp_path / "bad.ts").write_bytes(bytes(content))
    with web_server(tmp_path) as address:
        connection = PyAVConnection(f"{address}/bad.ts", av)
        found = pictures(connection)
        connection.close()
    assert 40 < len(found) <= 60
    assert round(float(found[-1].rgb()[8:24, 8:24].mean()) / 4) == 59


def test_video_file_on_a_web_server_gives_every_frame(clip: Path) -> None:
    with web_server(clip.parent) as address:
        source = open_source(f"{address}/clip.mp4?token=secret")
        frames = list(source)
        source.close()
        with pytest.raises(InputError, match=r"missing\.mp4"):
            open_source(f"{address}/missing.mp4")
    assert [frame.index for frame in frames] == list(range(60))
    assert (frames[3].name, frames[3].at, source.problems) == ("clip_000003.jpg", None, [])


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        """Say nothing."""


def test_opencv_is_silent_again_after_its_silence_is_over() -> None:
    before = cv2.utils.logging.getLogLevel()
    for _ in range(2):
        with pytest.raises(InputError, match="camera 97"):
            open_source("97")
    assert cv2.utils.logging.getLogLevel() == before
