"""`lmdeploy predict --show` as people use it: real processes, real HTTP, a browser that is a script."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no SIGINT for one process there")
RUN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
from lmdeploy.cli import main
main()
"""
SLOW_CAMERA = """
from benchmarks.scripted_camera import Lives, paced
from lmdeploy.video import camera
from tests.blob_video import truth
from tests.tiny_bundle import blob_image
def picture(n):
    return blob_image(160, 160, truth(n), sigma=5.0)[..., ::-1].copy()
lives = Lives([paced(picture, 20, 60.0)], OSError("away"))
camera.open_connection = lambda address: lives()
"""


@pytest.fixture(scope="module", autouse=True)
def _browser(home: Path) -> None:
    """A browser that notes what it is to open."""
    browser = home / "browser"
    browser.write_text(f'#!/bin/sh\nprintf "%s\\n" "$1" > "{home}/opened"\n')
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)


def start(home: Path, source: str, *words: str, code: str = "", screen: bool = False) -> subprocess.Popen[str]:
    model = ("--model", "tiny", "--detector", "whole", "--threads", "1", "--backend", "onnxruntime")
    command = [sys.executable, "-c", code + RUN, "predict", source, *model, "--show", *words]
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")}
    environment |= {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    environment |= {"DISPLAY": ":99", "BROWSER": f"{home}/browser %s"} if screen else {}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=home, env=environment
    )


def address(process: subprocess.Popen[str]) -> str:
    """What the command prints."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"http://127\.0\.0\.1:\d+/\S+/", line):
            return found.group()
    raise AssertionError(f"no address; code {process.wait(20)}")


def state(place: str) -> dict[str, object]:
    with urllib.request.urlopen(place + "state", timeout=20) as answer:
        found: dict[str, object] = json.load(answer)
        return found


def wait_for_end(place: str) -> dict[str, object]:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if (found := state(place))["finished"]:
            return found
        time.sleep(0.05)
    raise AssertionError("the run did not come to its end")


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, told = process.communicate(timeout=60)
    return process.returncode, out, told


def test_pictures_stay_until_ctrl_c_and_nothing_floods_standard_output(home: Path) -> None:
    process = start(home, "shots", "--csv", "p.csv", screen=True)
    place = address(process)
    found = wait_for_end(place)
    assert (found["first"], found["last"], found["still"], found["title"]) == (0, 2, True, "shots")
    for number in range(3):
        with urllib.request.urlopen(f"{place}picture?number={number}", timeout=20) as answer:
            assert answer.read(3) == b"\xff\xd8\xff"
    assert len((home / "p.csv").read_text().splitlines()) == 4  # whole while it is looked at
    assert (home / "opened").read_text() == place + "\n"
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    code, out, told = ended(process)
    assert (code, out) == (0, "")
    assert "3 frames, 3 with a face" in told
    assert "Traceback" not in told


def test_stop_in_the_page_ends_a_camera_s_run(home: Path) -> None:
    process = start(home, "0", "--ndjson", "-", code=SLOW_CAMERA)
    place = address(process)
    while int(str(state(place)["last"])) < 3:
        time.sleep(0.05)
    found = state(place)
    assert isinstance(found["age_ms"], float)
    assert not found["still"]
    urllib.request.urlopen(place + "stop", data=b"", timeout=20).close()
    code, out, told = ended(process)
    assert code == 0, told
    assert len([json.loads(line) for line in out.splitlines()]) > 3


def test_ctrl_c_ends_a_camera_s_run_while_viewers_wait(home: Path) -> None:
    process = start(home, "0", code=SLOW_CAMERA)
    place = address(process)
    with urllib.request.urlopen(place + "stream.mjpg", timeout=20) as motion:
        assert motion.read(20).startswith(b"--lmdeploy-frame")
        process.send_signal(signal.SIGINT)
        code, _, told = ended(process)
    assert code == 130, told
    assert "Traceback" not in told


def test_video_s_last_picture_stays(home: Path) -> None:
    process = start(home, "clip.mp4")
    place = address(process)
    assert wait_for_end(place)["last"] == 44
    urllib.request.urlopen(place + "stop", data=b"", timeout=20).close()
    assert ended(process)[0] == 0


def test_several_sources_are_shown_side_by_side(home: Path) -> None:
    process = start(home, "clip.mp4", "other=clip.mp4", "shots", "--csv", "several.csv")
    place = address(process)
    found = wait_for_end(place)
    assert found["last"] == 92  # 45 + 45 + 3 frames, each with a new picture of all
    assert found["title"] == "clip.mp4 · other · shots"
    with urllib.request.urlopen(place + "picture?after=-1", timeout=20) as answer:
        shown = json.loads(answer.headers["Lmdeploy-State"])
    assert (shown["size"], len(shown["faces"]), shown["still"]) == ([1920, 1080], 3, False)
    urllib.request.urlopen(place + "stop", data=b"", timeout=20).close()
    assert ended(process)[0] == 0
    assert len((home / "several.csv").read_text().splitlines()) == 94


def test_mistakes_are_told_before_anything_is_served(home: Path) -> None:
    process = start(home, "shots", "--save", "shots")
    code, _, told = ended(process)
    assert code == 2
    assert "http:" not in told
    process = start(home, "shots", "--pose")
    code, _, told = ended(process)
    assert code == 2
    assert "no head pose from landmarks of schema blobs3" in told
