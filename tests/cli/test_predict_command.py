"""`lmdeploy predict` as people run it: a process, its files, its exit code, Ctrl-C and kill -9."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from lmdeploy.video.file import PyAVVideo
from tests.blob_video import truth, write_blob_video

RUN = [sys.executable, "-c", "from lmdeploy.cli import main; main()", "predict"]


def command(home: Path, *words: str | Path) -> list[str]:
    return [*RUN, *map(str, words), "--model", str(home / "tiny"), "--detector", "whole", "--threads", "1"]


def predict(home: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(home, *words), capture_output=True, text=True, cwd=home, check=False, timeout=120)


def test_video_to_csv_ndjson_and_mp4(home: Path, tmp_path: Path) -> None:
    done = predict(
        home, "clip.mp4", "--csv", tmp_path / "p.csv", "--ndjson", tmp_path / "p.ndjson", "--save", tmp_path / "p.mp4"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "45 frames, 45 with a face" in done.stderr
    with (tmp_path / "p.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [int(r["frame"]) for r in rows] == list(range(45))
    for index, row in enumerate(rows):
        np.testing.assert_allclose([float(row["x0"]), float(row["y0"])], truth(index)[0], atol=2.0)
    lines = [json.loads(line) for line in (tmp_path / "p.ndjson").read_text().splitlines()]
    np.testing.assert_allclose(lines[30]["points_raw"], truth(30), atol=0.7)
    assert lines[30]["provider"] == "CPUExecutionProvider"
    assert len(list(PyAVVideo(tmp_path / "p.mp4", av))) == 45
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.csv", "p.mp4", "p.ndjson"]


def test_pictures_go_to_standard_output_by_default(home: Path) -> None:
    done = predict(home, "shots")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["image"] for line in lines] == ["0.png", "1.png", "2.png"]
    np.testing.assert_allclose(lines[1]["points"], truth(1), atol=0.5)


def test_annotated_pictures(home: Path, tmp_path: Path) -> None:
    assert predict(home, "shots/*.png", "--save", tmp_path / "out").returncode == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["0.png", "1.png", "2.png"]


def test_broken_picture_is_listed_the_rest_is_done_and_the_code_is_two(home: Path, tmp_path: Path) -> None:
    for name in ("0.png", "1.png"):
        (tmp_path / name).write_bytes((home / "shots" / name).read_bytes())
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    done = predict(home, tmp_path, "--csv", tmp_path / "p.csv")
    assert done.returncode == 2
    assert "bad.png" in done.stderr
    assert "Traceback" not in done.stderr
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 3


def test_truncated_video_keeps_what_could_be_read(home: Path, tmp_path: Path) -> None:
    content = (home / "clip.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) * 2 // 3])
    done = predict(home, tmp_path / "cut.mp4", "--csv", tmp_path / "p.csv", "--save", tmp_path / "p.mp4")
    assert done.returncode == 2
    assert "cut.mp4" in done.stderr
    rows = (tmp_path / "p.csv").read_text().splitlines()
    assert 5 < len(rows) < 45
    assert len(list(PyAVVideo(tmp_path / "p.mp4", av))) == len(rows) - 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["98"], "camera 98 cannot be opened"),
        (["nothing.mp4"], "no such file"),
        (["shots", "--save", "shots"], "overwrite the source"),
        (["clip.mp4", "--save", "clip.mp4"], "is the source"),
        (["shots", "-o", "shots/"], "overwrite the source"),
        (["clip.mp4", "-o", "x.csv", "--csv", "x.csv"], "x.csv is asked for twice"),
        (["clip.mp4", "-o", "x.csv", "-o", "x.xml"], "choose a name that ends in"),
        (["clip.mp4", "--device", "cuda"], "cuda"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(home: Path, words: list[str], message: str) -> None:
    done = predict(home, *words)
    assert done.returncode in (2, 4)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (home / "x.csv").exists()


def test_reader_that_goes_away_ends_it_quietly(home: Path) -> None:
    process = subprocess.Popen(
        command(home, "clip.mp4"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=home, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 0
    assert "Traceback" not in errors
    assert "Exception" not in errors


@pytest.fixture(scope="module")
def long_video(home: Path) -> Path:
    return write_blob_video(home / "long.mp4", 900)


def started(home: Path, video: Path, out: Path) -> subprocess.Popen[bytes]:
    """A run that has begun to write."""
    words = command(home, video, "--csv", out / "p.csv", "--ndjson", out / "p.ndjson", "--save", out / "p.mp4")
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=home)
    end = time.monotonic() + 60
    while not (out / "p.mp4").exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    return process


def check_files(out: Path) -> int:
    """All three files are whole; the number of frames in the CSV."""
    text = (out / "p.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert text.endswith("\n")
    assert all(len(row) == 11 and all(row[f"{a}{k}"] for a in "xy" for k in range(3)) for row in rows)
    lines = [json.loads(line) for line in (out / "p.ndjson").read_text().splitlines()]
    assert abs(len(lines) - len(rows)) <= 1
    assert [line["frame"] for line in lines] == list(range(len(lines)))
    frames = len(list(PyAVVideo(out / "p.mp4", av)))
    assert 30 <= frames <= len(rows)
    assert frames >= len(rows) - 31  # at most the last second
    return len(rows)


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_leaves_valid_files(home: Path, long_video: Path, tmp_path: Path, seed: int) -> None:
    process = started(home, long_video, tmp_path)
    time.sleep(random.Random(seed).uniform(0, 0.4))
    process.kill()
    process.wait(60)
    if process.returncode == 0:
        pytest.skip("the run was over before it could be killed")
    check_files(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for one process there")
def test_ctrl_c_ends_with_130_and_whole_files(home: Path, long_video: Path, tmp_path: Path) -> None:
    process = started(home, long_video, tmp_path)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    rows = check_files(tmp_path)
    assert rows < 900
    assert len(list(PyAVVideo(tmp_path / "p.mp4", av))) == rows


def test_help_names_every_output(home: Path) -> None:
    done = subprocess.run([*RUN, "--help"], capture_output=True, text=True, check=True)
    for word in ("--csv", "--ndjson", "--save", "--site", "--detect-every", "rtsp://"):
        assert word in done.stdout
