"""Ctrl-C as people press it: a real process that reads a live source, while pictures come and while none do."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from lmdeploy.video.file import PyAVVideo
from tests.blob_video import write_blob_video
from tests.real_rtsp import PYTHON, needs_server
from tests.rtsp_server import RtspServer, recorded
from tests.tiny_bundle import make_tiny_bundle

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no SIGINT for one process there")
PREDICT = "from lmdeploy.cli import main; main()"
SCRIPTED = """
import sys
from benchmarks.scripted_camera import Lives, paced
from lmdeploy.video import camera
from tests.blob_video import truth
from tests.tiny_bundle import blob_image
def picture(n):
    return blob_image(160, 160, truth(n), sigma=5.0)[..., ::-1].copy()
lives = Lives([paced(picture, 20, 1.0)], OSError("away"))
camera.open_connection = lambda address: lives()
"""
ITERATED = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
from lmdeploy.landmarker import Landmarker
with Landmarker.load(sys.argv[1], threads=1, detector="whole_image") as landmarker:
    with landmarker.stream(0, warn=lambda text: sys.stderr.write(text + "\\n")) as stream:
        for seen in stream:
            print(seen.frame.index, len(seen.faces), flush=True)
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("b") / "tiny").path


def start(code: str, *words: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def predict(code: str, source: str, tiny: Path, out: Path, *words: str) -> subprocess.Popen[str]:
    model = ("--model", tiny, "--detector", "whole", "--threads", "1")
    return start(code, "predict", source, *model, "--csv", out / "p.csv", "--save", out / "p.mp4", *words)


def wait_for_rows(path: Path, count: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if path.is_file() and len(path.read_text().splitlines()) > count:
            return
        time.sleep(0.05)
    raise AssertionError(f"no {count} rows came")


def interrupt(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and standard error of a process that must end although no picture comes."""
    process.send_signal(signal.SIGINT)
    try:
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, told


def check_files(folder: Path) -> None:
    with (folder / "p.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    times = [float(row["time_ms"]) for row in rows]
    assert np.diff(times).min() > 0
    assert len(list(PyAVVideo(folder / "p.mp4", av))) == len({row["frame"] for row in rows})
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_while_the_camera_is_away(tiny: Path, tmp_path: Path) -> None:
    process = predict(SCRIPTED + PREDICT, "0", tiny, tmp_path)
    wait_for_rows(tmp_path / "p.csv", 3)
    time.sleep(1.5)  # by then it is gone
    code, told = interrupt(process)
    assert code == 130, told
    assert told.count("camera 0: no more pictures; it is tried again until it is back") == 1
    assert "age " in told
    check_files(tmp_path)


def test_camera_that_is_given_up_ends_the_run_with_whole_files(tiny: Path, tmp_path: Path) -> None:
    process = predict(SCRIPTED + PREDICT, "0", tiny, tmp_path, "--give-up", "0.3")
    _, told = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "camera 0: no pictures for 0.3 s, given up" in told
    check_files(tmp_path)


def test_in_a_loop_over_the_iterator(tiny: Path) -> None:
    process = start("import sys\n" + SCRIPTED + ITERATED, tiny)
    assert process.stdout is not None
    assert process.stdout.readline().split() == ["0", "1"]
    code, told = interrupt(process)
    assert code == -signal.SIGINT
    assert "KeyboardInterrupt" in told


@needs_server
def test_while_rtsp_pictures_come(tiny: Path, tmp_path: Path) -> None:
    assert PYTHON is not None
    server = RtspServer(PYTHON, recorded(write_blob_video(tmp_path / "clip.mp4", 300)))
    (out := tmp_path / "out").mkdir()
    process = predict(PREDICT, server.url(), tiny, out)
    wait_for_rows(out / "p.csv", 5)
    code, told = interrupt(process)
    server.kill()
    assert code == 130, told
    check_files(out)
