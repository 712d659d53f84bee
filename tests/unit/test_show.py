"""The live view, seen by real HTTP clients: newest pictures, several and stalled viewers, and nothing left behind."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import ClassVar
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from lmdeploy.show import board, server
from lmdeploy.show.live import Show
from lmdeploy.types import U8, Box, Landmarks
from lmdeploy.video.frame import Frame
from tests.tiny_bundle import BLOBS3

POINTS = np.array([[40.0, 40.0], [100.0, 45.0], [70.0, 100.0]], np.float32)
FACE = Landmarks(POINTS, POINTS, np.full(3, 0.75, np.float32), POINTS[:, 0], Box(0, 0, 1, 1), track=4)


def grey(value: int, side: int = 160) -> U8:
    return np.full((side, side, 3), value, np.uint8)


def live(index: int, image: U8 | None = None) -> Frame:
    return Frame(grey(50 + index) if image is None else image, index, 40.0 * index, f"c{index}.jpg", time.monotonic())


def still(index: int, side: int = 160) -> Frame:
    return Frame(grey(50 + index, side), index, None, f"ä{index}.png")


@pytest.fixture
def show() -> Iterator[Show]:
    threads = threading.active_count()
    with Show(BLOBS3, title="door") as view:
        yield view
    assert threading.active_count() == threads


@pytest.fixture(autouse=True)
def hang_up() -> Iterator[None]:
    yield
    while Viewer.opened:
        Viewer.opened.pop().connection.close()


class Viewer:
    """One connection of a browser."""

    opened: ClassVar[list[Viewer]] = []

    def __init__(self, show: Show) -> None:
        parts = urlsplit(show.address)
        assert parts.hostname == "127.0.0.1"
        self.path = parts.path
        self.connection = http.client.HTTPConnection("127.0.0.1", parts.port or 0, timeout=20)
        self.opened.append(self)

    def get(self, what: str, method: str = "GET", **headers: str) -> tuple[int, bytes, dict[str, str]]:
        self.connection.request(method, self.path + what, headers=headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read(), dict(answer.headers)

    def picture(self, query: str) -> tuple[U8 | None, dict[str, object]]:
        status, body, headers = self.get(f"picture?{query}")
        state = json.loads(headers["Lmdeploy-State"])
        assert status == (200 if body else 204)
        image = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)[..., ::-1] if body else None
        return image, state


def test_viewer_gets_the_newest_picture_drawn_with_all_that_is_known(show: Show) -> None:
    for index in range(5):
        show.write(live(index), [FACE])
    image, state = Viewer(show).picture("after=-1")
    assert image is not None
    assert abs(int(image[140, 10, 0]) - 54) <= 2
    assert image[40, 40].min() > 180  # a point
    assert image[42:44, 66:74].max() > 120  # a line of the skeleton
    assert 0 <= state.pop("age_ms") < 5000  # type: ignore[operator]
    assert state.pop("rate") > 0  # type: ignore[operator]
    assert state == {
        "first": 4, "last": 4, "finished": False, "number": 4, "still": False, "name": "c4.jpg", "frame": 4,
        "time_ms": 160.0, "size": [160, 160], "faces": [{"id": 4, "score": 0.75}], "title": "door",
    }  # fmt: skip


def test_waiting_viewer_is_answered_when_a_picture_comes(show: Show) -> None:
    show.write(live(0), [])
    threading.Timer(0.3, show.write, (live(1), [])).start()
    start = time.monotonic()
    _, state = Viewer(show).picture("after=0")
    assert (state["number"], 0.2 < time.monotonic() - start < server.WAIT_S) == (1, True)


def test_several_viewers_and_one_that_reads_nothing_hold_nobody_up(show: Show) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    stalled = []
    for _ in range(3):
        stalled.append(sock := socket.create_connection(("127.0.0.1", urlsplit(show.address).port or 0)))
        sock.sendall(f"GET {urlsplit(show.address).path}stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    slowest = 0.0
    viewers = [Viewer(show) for _ in range(3)]
    for index in range(8):
        start = time.monotonic()
        show.write(live(index, noise), [FACE])
        slowest = max(slowest, time.monotonic() - start)
        assert [viewer.picture("after=-1")[1]["number"] for viewer in viewers] == [index] * 3
    assert slowest < 0.5  # far less in fact; a stalled viewer would cost SILENT_S
    for sock in stalled:
        sock.close()


def test_picture_is_made_once_for_all_viewers_and_only_when_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr("lmdeploy.show.live.draw_faces", lambda image, faces, schema: made.append(1) or image)
    with Show(BLOBS3) as show:
        for index in range(50):
            show.write(live(index), [])
        assert made == []
        for viewer in [Viewer(show) for _ in range(4)]:
            viewer.picture("after=-1")
    assert made == [1]


def test_motion_jpeg_is_read_by_another_program(show: Show) -> None:
    enough = threading.Event()

    def feed() -> None:
        for index in range(200):
            show.write(live(index), [])
            if enough.wait(0.03):
                break

    thread = threading.Thread(target=feed)
    thread.start()
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 5000, cv2.CAP_PROP_READ_TIMEOUT_MSEC, 5000]
    capture = cv2.VideoCapture(show.address + "stream.mjpg", cv2.CAP_FFMPEG, limits)
    values = [int(capture.read()[1][80, 80, 0]) for _ in range(3)]
    enough.set()
    thread.join()
    capture.release()
    assert values == sorted(values)
    assert 48 <= values[0] < values[-1] <= 251


def test_still_images_are_kept_for_paging_within_bounds(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "ROLL_BYTES", 5 * 160 * 160 * 3)
    for index in range(8):
        show.write(still(index), [FACE])
    show.finish()
    viewer = Viewer(show)
    for number in range(8):
        image, state = viewer.picture(f"number={number}")
        assert (image is None) == (number < 3)
        if image is not None:
            assert abs(int(image[140, 10, 0]) - 50 - number) <= 2
            assert (state["name"], state["age_ms"], state["still"]) == (f"ä{number}.png", None, True)
    status, body, _ = viewer.get("state?after=7")
    assert (status, json.loads(body)["first"], json.loads(body)["finished"]) == (200, 3, True)
    assert viewer.picture("number=-3")[0] is viewer.picture("number=x")[0] is None


def test_large_pictures_are_shrunk(show: Show) -> None:
    show.write(Frame(np.zeros((1000, 3000, 3), np.uint8), 0, None, "wide.png"), [])
    image, state = Viewer(show).picture("after=-1")
    assert image is not None
    assert (image.shape, state["size"]) == ((640, 1920, 3), [3000, 1000])


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "192.168.0.7", "[x"]
)
def test_foreign_host_names_are_refused(show: Show, host: str) -> None:
    show.write(live(0), [])
    for what in ("", "picture?after=-1", "state", "stream.mjpg"):
        status, body, _ = Viewer(show).get(what, Host=host)
        assert (status, len(body) < 100) == (421, True)
    assert Viewer(show).get("stop", "POST", Host=host)[0] == 421
    assert not show.stopped


def test_only_the_printed_address_opens_it(show: Show) -> None:
    viewer = Viewer(show)
    for path in ("/", "/x/", "/" + "a" * 22 + "/", "//", "/%2e%2e/", viewer.path[:-2] + "/"):
        other = Viewer(show)
        other.path = path
        assert other.get("")[0] == 404
    assert viewer.get("../../etc/passwd")[0] == viewer.get("live.py")[0] == 404
    assert Viewer(show).get("", "DELETE")[0] == 501
    assert Viewer(show).get("", Host="localhost:8000")[0] == 200  # through an SSH tunnel
    with socket.socket() as other_interface:
        address = socket.gethostbyname(socket.gethostname())
        if not address.startswith("127."):
            assert other_interface.connect_ex((address, urlsplit(show.address).port or 0)) != 0


def test_page_loads_nothing_from_elsewhere(show: Show) -> None:
    viewer = Viewer(show)
    for name, kind in server.FILES.items():
        status, body, headers = viewer.get(name)
        assert (status, headers["Content-Type"]) == (200, f"{kind}; charset=utf-8")
        assert b"http:" not in body
        assert b"https:" not in body
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Python" not in headers["Server"]


def test_stop_button_and_close_leave_no_thread_and_no_port() -> None:
    threads, stops = threading.active_count(), []
    show = Show(BLOBS3, on_stop=lambda: stops.append(1))
    show.write(live(0), [])
    waiting = [Viewer(show) for _ in range(3)]
    for viewer in waiting:
        viewer.connection.request("GET", viewer.path + "picture?after=0")
    assert Viewer(show).get("stop", "POST")[0] == 200
    assert (show.stopped, stops) == (True, [1])
    show.wait()
    start, port = time.monotonic(), urlsplit(show.address).port or 0
    show.close()
    show.close()
    assert time.monotonic() - start < server.WAIT_S
    assert threading.active_count() == threads
    with socket.socket() as again:
        assert again.connect_ex(("127.0.0.1", port)) != 0
    for viewer in waiting:
        viewer.connection.close()


def test_too_many_connections_are_turned_away(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 3)
    show.write(live(0), [])
    viewers = [Viewer(show) for _ in range(3)]
    assert [viewer.picture("after=-1")[1]["number"] for viewer in viewers] == [0, 0, 0]
    with pytest.raises((http.client.HTTPException, OSError)):
        Viewer(show).get("")
    viewers[0].connection.close()
    time.sleep(0.3)
    assert Viewer(show).get("")[0] == 200
