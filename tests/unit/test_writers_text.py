"""Sinks: right content, readable by others, nothing half-written at a final name."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from lmdeploy.dataset import scan_labelled
from lmdeploy.errors import InputError
from lmdeploy.images import read_image
from lmdeploy.types import Box, Landmarks
from lmdeploy.video.frame import Frame
from lmdeploy.writers.lines import LineFile
from lmdeploy.writers.ndjson import NdjsonSink
from lmdeploy.writers.pictures import ImageSink, write_image
from lmdeploy.writers.wide_csv import CsvSink
from tests.tiny_bundle import BLOBS3

PICTURE = np.full((12, 16, 3), 90, np.uint8)


def frame(index: int = 0, time_ms: float | None = None, name: str = "a.png") -> Frame:
    return Frame(PICTURE, index, time_ms, name)


def face(shift: float = 0.0, **change: object) -> Landmarks:
    points = np.array([[1.25, 2.5], [3.75, 4.125], [5.5, 6.0625]], np.float32) + np.float32(shift)
    about: dict[str, object] = {"track": 4, "digest": "d1", "provider": "CPU", **change}
    score, spread = np.array([0.5, 0.75, 1.0], np.float32), np.array([1.0, np.nan, 2.0], np.float32)
    return Landmarks(points, points + np.float32(1), score, spread, Box(1, 2, 3, 4), **about)  # type: ignore[arg-type]


def test_csv_has_the_wide_format(tmp_path: Path) -> None:
    sink = CsvSink(tmp_path / "deep" / "p.csv", 3)
    sink.write(frame(7, 233.3333), [face()])
    sink.write(frame(8, None, 'odd, "name".png'), [face(1.0, track=-1), face(2.0)])
    sink.write(frame(9), [])
    sink.close()
    sink.close()
    lines = (tmp_path / "deep" / "p.csv").read_text().splitlines()
    assert lines[0] == "image,frame,time_ms,track,score,x0,y0,x1,y1,x2,y2"
    assert lines[1] == "a.png,7,233.333,4,0.7500,1.250,2.500,3.750,4.125,5.500,6.062"
    assert lines[2].startswith('"odd, ""name"".png",8,,,0.7500,2.250,')
    assert len(lines) == 4


def test_csv_of_predictions_is_read_as_labels(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        write_image(tmp_path / "images" / name, PICTURE)
    sink = CsvSink(tmp_path / "landmarks.csv", 3)
    unknown = face()
    unknown.points[1] = np.nan
    sink.write(frame(0, 0.0, "a.png"), [face()])
    sink.write(frame(1, 33.3, "b.png"), [unknown])
    sink.close()
    loaded = scan_labelled(tmp_path, BLOBS3)
    assert loaded.problems == ()
    a, b = loaded.samples
    assert a.points is not None
    assert b.points is not None
    np.testing.assert_allclose(a.points, face().points, atol=6e-4)
    assert np.isnan(b.points[1]).all()


def test_csv_cut_in_its_last_line_loses_that_line_only(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    sink = CsvSink(tmp_path / "landmarks.csv", 3)
    for index in range(3):
        write_image(tmp_path / "images" / f"{index}.png", PICTURE)
        sink.write(frame(index, 0.0, f"{index}.png"), [face()])
    sink.close()
    content = (tmp_path / "landmarks.csv").read_bytes()
    (tmp_path / "landmarks.csv").write_bytes(content[:-30])  # as a full disk or a power cut leaves it
    loaded = scan_labelled(tmp_path, BLOBS3)
    assert [s.name for s in loaded.samples] == ["0.png", "1.png"]
    assert len(loaded.problems) == 1


def test_ndjson_holds_everything(tmp_path: Path) -> None:
    sink = NdjsonSink(tmp_path / "p.ndjson")
    sink.write(frame(7, 233.0), [face(), face(1.0, track=5)])
    sink.write(frame(8), [])
    sink.close()
    first, second = [json.loads(line) for line in (tmp_path / "p.ndjson").read_text().splitlines()]
    assert (first["image"], first["frame"], first["time_ms"], first["track"]) == ("a.png", 7, 233.0, 4)
    assert first["points"] == [[1.25, 2.5], [3.75, 4.125], [5.5, 6.062]]
    assert first["points_raw"][0] == [2.25, 3.5]
    assert first["spread"] == [1.0, None, 2.0]
    assert (first["score"], first["box"]) == ([0.5, 0.75, 1.0], [1, 2, 3, 4])
    assert (first["digest"], first["provider"], second["track"]) == ("d1", "CPU", 5)


def test_ndjson_to_standard_output_is_flushed(capfd: pytest.CaptureFixture[str]) -> None:
    sink = NdjsonSink(None)
    sink.write(frame(), [face()])
    assert json.loads(capfd.readouterr().out)["track"] == 4
    sink.close()


def test_pictures_come_back_under_their_names(tmp_path: Path) -> None:
    sink = ImageSink(tmp_path / "out")
    picture = PICTURE.copy()
    picture[..., 0] = 200
    for index, name in enumerate(["a.png", "b.JPG", "c.heic", "a.png"]):
        sink.write(frame(index, None, name), [], picture)
    sink.close()
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["a.png", "a_3.png", "b.JPG", "c.jpg"]
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "a.png"), picture)


def test_names_of_a_stream_do_not_pile_up(tmp_path: Path) -> None:
    sink = ImageSink(tmp_path)
    for index in range(3):
        sink.write(frame(index, 1.0, f"v_{index}.jpg"), [], PICTURE)
    assert len(sink._used) == 0


@pytest.mark.skipif(os.name == "nt", reason="folders cannot be made read-only there")
def test_places_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for make in (
        lambda: CsvSink(tmp_path / "file" / "x.csv", 3),
        lambda: NdjsonSink(tmp_path / "file" / "x.ndjson"),
        lambda: ImageSink(tmp_path / "file" / "pictures"),
    ):
        with pytest.raises(InputError, match="cannot be written"):
            make()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_full_disk_is_named(tmp_path: Path) -> None:
    sink = LineFile(tmp_path / "x.csv", "header\n")
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, sink._file.fileno())
    os.close(full)
    with pytest.raises(InputError, match="No space left"):
        sink.write("row\n")
    with pytest.raises(InputError, match="cannot be written"):
        sink.close()  # such a device cannot be flushed
    sink.close()


def test_lines_that_do_not_fit_leave_the_whole_ones_before_them(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="needs a limit on the size of files")
    sink = LineFile(tmp_path / "x.csv", "header\n")
    sink.write("first row\n")
    limits, action = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40, limits[1]))
    try:
        with pytest.raises(InputError, match="cannot be written"):
            sink.write("a second row that is longer than what is free\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, action)
    sink.close()
    assert (tmp_path / "x.csv").read_text() == "header\nfirst row\n"


def test_unknown_picture_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.xyz: choose a name that ends in .*\.jpg"):
        write_image(tmp_path / "x.xyz", PICTURE)
    assert list(tmp_path.iterdir()) == []
