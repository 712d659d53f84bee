"""MP4 out: the pictures and times that went in, at any size, with or without PyAV."""

from __future__ import annotations

import sys
from pathlib import Path

import av
import numpy as np
import pytest

from lmdeploy.errors import InputError
from lmdeploy.types import U8
from lmdeploy.video.file import PyAVVideo
from lmdeploy.video.frame import Frame
from lmdeploy.writers.mp4 import Mp4Sink


def picture(index: int, height: int = 64, width: int = 96) -> U8:
    image = np.full((height, width, 3), 40, np.uint8)
    image[8:40, 8:40] = 4 * index
    return image


def write(path: Path, count: int, rate: float = 30.0, times: list[float] | None = None) -> Mp4Sink:
    sink = Mp4Sink(path, rate)
    for index in range(count):
        image = picture(index)
        time_ms = 1000.0 * index / (rate or 30) if times is None else times[index]
        sink.write(Frame(image, index, time_ms, "x"), [], image)
    return sink


def read(path: Path) -> tuple[list[float], list[int]]:
    frames = list(PyAVVideo(path, av))
    return [f.time_ms or 0.0 for f in frames], [round(float(f.image[16:32, 16:32].mean()) / 4) for f in frames]


@pytest.mark.parametrize("count", [1, 5, 60])
def test_every_picture_and_time_comes_back(tmp_path: Path, count: int) -> None:
    sink = write(tmp_path / "deep" / "v.mp4", count)
    sink.close()
    sink.close()
    times, marks = read(tmp_path / "deep" / "v.mp4")
    assert marks == list(range(count))
    np.testing.assert_allclose(times, np.arange(count) * 1000 / 30, atol=0.1)
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["v.mp4"]


def test_finished_file_is_an_ordinary_mp4_that_knows_its_length(tmp_path: Path) -> None:
    write(tmp_path / "v.mp4", 45).close()
    content = (tmp_path / "v.mp4").read_bytes()
    assert b"moof" not in content
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(str(tmp_path / "v.mp4")) as container:
        video = container.streams.video[0]
        assert video.frames == 45
        assert float(video.duration * video.time_base) == pytest.approx(1.5, abs=0.04)
        assert video.codec_context.name == "h264"


def test_variable_and_repeated_times(tmp_path: Path) -> None:
    write(tmp_path / "v.mp4", 5, times=[0, 10, 10, 500, 400]).close()
    times, marks = read(tmp_path / "v.mp4")
    assert marks == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(times, [0, 10, 10, 500, 500], atol=0.1)
    assert sorted(set(times)) == times


def test_without_a_rate_and_without_times(tmp_path: Path) -> None:
    sink = Mp4Sink(tmp_path / "v.mp4", 0.0)
    for index in range(4):
        sink.write(Frame(picture(index), index, None, "x"), [], picture(index))
    sink.close()
    np.testing.assert_allclose(read(tmp_path / "v.mp4")[0], [0, 33.3, 66.7, 100], atol=0.1)


def test_odd_and_changing_sizes(tmp_path: Path) -> None:
    sink = Mp4Sink(tmp_path / "v.mp4", 30.0)
    for index, size in enumerate([(65, 97), (65, 97), (130, 97), (20, 300)]):
        sink.write(Frame(picture(index), index, None, "x"), [], picture(index, *size))
    sink.close()
    frames = list(PyAVVideo(tmp_path / "v.mp4", av))
    assert {f.image.shape for f in frames} == {(64, 96, 3)}
    assert frames[2].image[:, :8].max() < 40  # the tall picture stands between black borders
    assert frames[3].image[:20].max() < 40


def test_nothing_written_leaves_nothing(tmp_path: Path) -> None:
    Mp4Sink(tmp_path / "v.mp4", 30.0).close()
    assert list(tmp_path.iterdir()) == []


def test_file_has_its_name_only_after_the_first_whole_fragment(tmp_path: Path) -> None:
    write(tmp_path / "v.mp4", 20)
    assert not (tmp_path / "v.mp4").exists()
    write(tmp_path / "w.mp4", 40)
    times, marks = read(tmp_path / "w.mp4")
    assert marks[:30] == list(range(30))
    assert times[29] == pytest.approx(966.7, abs=0.1)


def test_without_pyav_opencv_writes_a_file_that_others_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    sink = write(tmp_path / "v.mp4", 12)
    assert not (tmp_path / "v.mp4").exists()
    sink.close()
    monkeypatch.undo()
    times, marks = read(tmp_path / "v.mp4")
    assert len(times) == 12
    np.testing.assert_allclose(marks, np.arange(12), atol=1)


def test_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"v\.mp4 cannot be written"):
        write(tmp_path / "file" / "v.mp4", 1)


def test_a_file_that_ffmpeg_cannot_begin_is_one_sentence(tmp_path: Path) -> None:
    """It opens the file with the first packet, and again when it is closed."""
    (tmp_path / ".v.mp4.part.mp4").mkdir()  # in the way of its draft
    sink = Mp4Sink(tmp_path / "v.mp4", 30.0)
    with pytest.raises(InputError, match=r"v\.mp4 cannot be written"):
        sink.write(Frame(picture(0), 0, 0.0, "x"), [], picture(0))
    with pytest.raises(InputError, match=r"v\.mp4 cannot be written"):
        sink.close()
