"""`lmdeploy predict A B ...` as people run it: live and recorded sources, one that is missing, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest

from lmdeploy.video.file import PyAVVideo
from tests.blob_video import truth, write_blob_video
from tests.real_rtsp import PYTHON, needs_server
from tests.rtsp_server import RtspServer, recorded
from tests.tiny_bundle import make_tiny_bundle

ROOT = Path(__file__).resolve().parents[2]
MAIN = "from lmdeploy.cli import main; main()"
CAMERAS = """
from benchmarks.scripted_camera import Lives, paced
from lmdeploy.errors import InputError
from lmdeploy.video import camera
from tests.blob_video import truth
from tests.tiny_bundle import blob_image
def picture(n):
    return blob_image(160, 160, truth(n), sigma=5.0)[..., ::-1].copy()
away = InputError("camera 1 is away")
cameras = {0: Lives([paced(picture, 20, 60.0)], away), 1: Lives([away, paced(picture, 20, 60.0)], away)}
camera.open_connection = lambda address: cameras[address]()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    make_tiny_bundle(folder / "tiny")
    write_blob_video(folder / "a.mp4", 9)
    write_blob_video(folder / "b.mp4", 5)
    return folder


def start(home: Path, *words: str | Path, code: str = "") -> subprocess.Popen[str]:
    model = ("--model", home / "tiny", "--detector", "whole", "--threads", "1")
    command = [sys.executable, "-c", code + MAIN, "predict", *map(str, (*words, *model))]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=home, env=environment)


def test_rows_on_standard_output_and_a_missing_file_in_the_exit_code(home: Path) -> None:
    process = start(home, "a.mp4", "gone.mp4", "yard=b.mp4")
    out, told = process.communicate(timeout=120)
    assert process.returncode == 2
    lines = [json.loads(line) for line in out.splitlines()]
    for source, frames in (("a.mp4", 9), ("yard", 5)):
        own = [line for line in lines if line["source"] == source]
        assert [line["frame"] for line in own] == list(range(frames))
        np.testing.assert_allclose(own[4]["points_raw"], truth(4), atol=0.7)
    assert len(lines) == 14
    first, *_, last = (line for line in told.splitlines() if "gone.mp4: no such file" in line)
    assert first.endswith("; the others go on")
    assert last == told.splitlines()[-1]
    assert "yard: 5 frames" in told


def rows(path: Path) -> pd.DataFrame:
    return pd.read_csv(path) if path.is_file() else pd.DataFrame({"source": []})


def wait_for(path: Path, counts: dict[str, int]) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = rows(path).source.value_counts()
        if all(found.get(name, 0) >= count for name, count in counts.items()):
            return
        time.sleep(0.1)
    raise AssertionError(f"no {counts} rows came")


def interrupted(process: subprocess.Popen[str], out: Path) -> tuple[pd.DataFrame, str]:
    """The table of a run that was ended by Ctrl-C, after a look at all files."""
    process.send_signal(signal.SIGINT)
    try:
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, told
    assert "Traceback" not in told
    table = pd.read_csv(out / "p.csv")
    assert not table.drop(columns="track").isna().any().any()
    for source, own in table.groupby("source"):
        assert own.frame.is_monotonic_increasing
        assert len(list(PyAVVideo(out / "drawn" / f"{source}.mp4", av))) == len(own)
    assert list(out.rglob(".*")) == []
    return table, told


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for one process there")
def test_ctrl_c_ends_two_cameras_and_a_file_with_whole_files(home: Path, tmp_path: Path) -> None:
    outputs = ("-o", tmp_path / "p.csv", "--save", tmp_path / "drawn")
    process = start(home, "0", "door=1", "clip=a.mp4", *outputs, code=CAMERAS)
    wait_for(tmp_path / "p.csv", {"camera0": 8, "door": 8, "clip": 9})
    table, told = interrupted(process, tmp_path)
    assert "camera 1 is away; the others go on, and it is tried again until it is there" in told
    assert "camera 1: pictures, after" in told
    assert (table.source == "clip").sum() == 9
    for row in table[table.source != "clip"].to_dict("records"):
        found = [[row[f"{axis}{k}"] for axis in "xy"] for k in range(3)]
        np.testing.assert_allclose(np.mean(found), 80 + np.mean([-1, 3]), atol=9)  # on the blobs' circle


@needs_server
def test_rtsp_stream_beside_a_file(home: Path, tmp_path: Path) -> None:
    assert PYTHON is not None
    server = RtspServer(PYTHON, recorded(write_blob_video(tmp_path / "clip.mp4", 300)))
    (out := tmp_path / "out").mkdir()
    try:
        process = start(home, f"door={server.url()}", "clip=b.mp4", "-o", out / "p.csv", "--save", out / "drawn")
        wait_for(out / "p.csv", {"door": 8, "clip": 5})
        table, _ = interrupted(process, out)
    finally:
        server.kill()
    assert set(table.source) == {"door", "clip"}
