"""Sources: what a user may type, what comes out, and what a broken file does."""

from __future__ import annotations

import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from lmdeploy.errors import InputError
from lmdeploy.types import U8
from lmdeploy.video.camera import Camera
from lmdeploy.video.connect import OpenCVConnection
from lmdeploy.video.file import OpenCVVideo, PyAVVideo
from lmdeploy.video.frame import Frame, Source
from lmdeploy.video.retry import Retry
from lmdeploy.video.source import open_source


def write_png(path: Path, grey: int) -> Path:
    cv2.imwrite(str(path), np.full((20, 30, 3), grey, np.uint8))
    return path


def write_video(path: Path, times_ms: list[int], options: dict[str, str] | None = None) -> Path:
    """Noise of which the top left block's grey is 4 x index, at the given times."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for index, ms in enumerate(times_ms):
            image = np.random.default_rng(index).integers(0, 255, (64, 96, 3), np.uint8)
            image[:32, :32] = 4 * index
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def read(source: Source) -> list[Frame]:
    frames = list(source)
    source.close()
    source.close()
    return frames


def marks(frames: list[Frame]) -> list[int]:
    return [round(float(frame.image[8:24, 8:24].mean()) / 4) for frame in frames]


EVEN = [round(i * 100 / 3) for i in range(60)]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "clip.mp4", EVEN, {"movflags": "faststart"})


def test_folder_pattern_and_list_give_images_in_order(tmp_path: Path) -> None:
    for name, grey in (("b.png", 20), ("a.png", 10), ("c.png", 30)):
        write_png(tmp_path / name, grey)
    (tmp_path / "notes.md").write_text("not an image")
    (tmp_path / "list.txt").write_text("# two of them\nc.png\n\na.png\n")
    assert [(f.index, f.name, f.time_ms) for f in read(open_source(tmp_path))] == [
        (0, "a.png", None),
        (1, "b.png", None),
        (2, "c.png", None),
    ]
    assert [f.name for f in read(open_source(f"{tmp_path}/[bc]*"))] == ["b.png", "c.png"]
    listed = read(open_source(tmp_path / "list.txt"))
    assert [int(f.image[0, 0, 0]) for f in listed] == [30, 10]
    assert [f.name for f in read(open_source(tmp_path / "a.png"))] == ["a.png"]
    assert not open_source(tmp_path).stream


def test_images_are_rgb(tmp_path: Path) -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 2] = 255
    cv2.imwrite(str(tmp_path / "red.png"), red)
    (frame,) = read(open_source(tmp_path / "red.png"))
    assert frame.image[0, 0].tolist() == [255, 0, 0]


def test_broken_image_is_listed_and_the_rest_is_read(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", 1)
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n half")
    write_png(tmp_path / "c.png", 3)
    source = open_source(tmp_path)
    assert [(f.index, f.name) for f in read(source)] == [(0, "a.png"), (2, "c.png")]
    assert len(source.problems) == 1
    assert "b.png" in source.problems[0]


@pytest.mark.parametrize(
    ("name", "message"),
    [("nothing", "no such file"), ("*.png", "no file matches"), ("empty", "no image files"), ("list.txt", "no image")],
)
def test_nothing_to_read_is_an_error(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.txt").write_text("\n")
    with pytest.raises(InputError, match=message):
        open_source(str(tmp_path / name))


@pytest.mark.parametrize("reader", [PyAVVideo, OpenCVVideo])
def test_video_gives_every_frame_with_its_time(video: Path, reader: type[PyAVVideo] | type[OpenCVVideo]) -> None:
    source = reader(video, av) if reader is PyAVVideo else reader(video)  # type: ignore[call-arg]  # two constructors
    frames = read(source)
    assert [f.index for f in frames] == list(range(60))
    assert marks(frames) == list(range(60))
    np.testing.assert_allclose([f.time_ms for f in frames], EVEN, atol=1.0)  # ms, the file's own clock
    assert frames[7].name == "clip_000007.jpg"
    assert source.stream
    assert source.problems == []
    assert source.rate == pytest.approx(30.0, abs=0.5)


def test_variable_frame_rate_is_kept(tmp_path: Path) -> None:
    times = [0, 33, 66, 400, 433, 900, 901, 1500]
    frames = read(open_source(write_video(tmp_path / "vfr.mp4", times)))
    np.testing.assert_allclose([f.time_ms for f in frames], times, atol=1.0)


def test_truncated_video_gives_what_is_there_and_says_so(video: Path, tmp_path: Path) -> None:
    content = video.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(content[: len(content) // 2])
    source = open_source(cut)
    frames = read(source)
    assert 10 < len(frames) < 50
    assert marks(frames[:-1]) == list(range(len(frames) - 1))
    assert len(source.problems) == 1
    assert "cut.mp4" in source.problems[0]


def test_truncated_video_through_opencv(video: Path, tmp_path: Path) -> None:
    content = video.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(content[: len(content) // 2])
    source = OpenCVVideo(cut)
    assert 10 < len(read(source)) < 50
    assert "of 60 frames" in source.problems[0]


def test_damaged_middle_does_not_end_the_video(video: Path, tmp_path: Path) -> None:
    content = bytearray(video.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = b"\xff" * 2000
    (tmp_path / "bad.mp4").write_bytes(bytes(content))
    source = open_source(tmp_path / "bad.mp4")
    frames = read(source)
    assert len(frames) > 50
    assert (frames[-1].time_ms or 0) > EVEN[55]
    assert "damaged" in source.problems[0]


@pytest.mark.parametrize("content", [b"", b"hello, this is text", b"\x00\x00\x00\x18ftypmp42" + b"\x00" * 50])
def test_file_that_is_no_video(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.mp4"):
        open_source(path)
    if content:
        with pytest.raises(InputError, match=r"x\.mp4"):
            OpenCVVideo(path)


def test_sound_without_pictures_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(InputError, match="no video stream"):
        open_source(path)


def test_missing_camera_is_one_clear_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="camera 97 cannot be opened"):
        open_source("97")
    assert capfd.readouterr().err == ""


class Paced:
    """A camera whose pictures appear when the test says so; the grey value is the picture's number."""

    def __init__(self, pictures: int) -> None:
        self.go = threading.Semaphore(0)
        self.read_so_far, self.pictures, self.released = 0, pictures, False

    def read(self) -> tuple[bool, U8]:
        self.go.acquire(timeout=5)
        self.read_so_far += 1
        return self.read_so_far <= self.pictures, np.full((4, 4, 3), self.read_so_far - 1, np.uint8)

    def release(self) -> None:
        self.released = True

    def deliver(self, count: int) -> None:
        before = self.read_so_far
        for _ in range(count):
            self.go.release()
        end = time.monotonic() + 5
        while self.read_so_far < before + count and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(0.05)  # until the reader has put the last one in its slot


def test_slow_consumer_gets_the_newest_picture_and_gaps_show() -> None:
    device = Paced(pictures=20)
    camera = Camera(0, lambda: OpenCVConnection(device))
    frames = iter(camera)
    device.deliver(1)
    first = next(frames)
    device.deliver(9)
    second = next(frames)
    assert (first.index, second.index) == (0, 9)
    assert int(second.image[0, 0, 0]) == 9
    assert first.time_ms == 0.0
    assert (second.time_ms or 0) > 0
    device.deliver(1)
    assert next(frames).index == 10
    device.go.release(100)
    camera.close()
    camera.close()
    assert device.released


def test_camera_that_goes_away_ends_the_stream_with_a_note() -> None:
    device = Paced(pictures=1)
    device.go.release(2)
    camera = Camera(0, lambda: OpenCVConnection(device), retry=Retry(give_up_s=0))
    assert len(list(camera)) <= 1
    assert "camera 0: no pictures for 0 s, given up" in camera.problems[0]
    camera.close()


def test_an_empty_name_is_no_folder() -> None:
    """What a shell makes of a variable that is not set."""
    with pytest.raises(InputError, match="the name of the source is empty"):
        open_source("")
