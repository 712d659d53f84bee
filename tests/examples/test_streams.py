"""The examples on cameras and streams, with generated videos and scripted sources in place of cameras."""

from __future__ import annotations

import asyncio
import csv
import importlib.util
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest

from lmdeploy.demo import motion, portrait_path
from lmdeploy.geometry import transform
from lmdeploy.images import read_image
from lmdeploy.landmarker import Landmarker
from lmdeploy.types import F32, U8
from lmdeploy.video.frame import Frame
from tests.examples.conftest import EXAMPLES, FACE, FRAMES, Run
from tests.examples.test_pictures import numbers


@pytest.fixture(scope="module")
def portrait() -> U8:
    return read_image(portrait_path())


def face_at(index: int, portrait: U8) -> F32:
    """Centre of the moving portrait's face in frame `index`, px."""
    return transform(motion(index / 30, portrait.shape[:2]), np.array([FACE.center]))[0]


def test_camera(run: Run, portrait: U8) -> None:
    lines = run("camera.py", "clip.mp4").stdout.splitlines()
    assert len(lines) == FRAMES["clip.mp4"]
    for index, line in enumerate(lines):
        time_ms, x, y = numbers(line)
        assert time_ms == pytest.approx(1000 * index / 30, abs=0.1)
        assert "None" in line  # a file is not live, so its frames have no age
        assert np.linalg.norm(face_at(index, portrait) - (x, y)) < 60  # of a face 300 px wide


def test_several_streams(run: Run, made: Path) -> None:
    lines = run("several_streams.py", "clip.mp4", "other.mp4").stdout.splitlines()
    assert lines[0] == str({str(made / name): frames for name, frames in FRAMES.items()})
    assert {line.partition(":")[0] for line in lines[1:]} >= {"detect", "network"}


def test_event_loop(run: Run, made: Path) -> None:
    lines = run("event_loop.py", "clip.mp4", "other.mp4").stdout.splitlines()
    assert sorted(lines) == [f"{made / name}: {frames} faces in {frames} frames" for name, frames in FRAMES.items()]


def test_write_files(run: Run, tmp_path: Path) -> None:
    run("write_files.py", "clip.mp4", "points.csv", "coco.json", "annotated.mp4")
    with (tmp_path / "points.csv").open() as file:
        assert [int(row["frame"]) for row in csv.DictReader(file)] == list(range(FRAMES["clip.mp4"]))
    assert len(json.loads((tmp_path / "coco.json").read_text())["annotations"]) == FRAMES["clip.mp4"]
    with av.open(str(tmp_path / "annotated.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == FRAMES["clip.mp4"]


@dataclass
class Endless:
    """A scripted source that has a picture whenever one is wanted."""

    image: U8
    stream: bool = True
    rate: float = 30.0
    problems: list[str] = field(default_factory=list)
    closed: int = 0

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while True:
            yield Frame(self.image, index, 1000 * index / 30, "")
            index += 1

    def close(self) -> None:
        self.closed += 1


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_event_loop_is_stopped_in_time_and_leaves_nothing(
    portrait: U8, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = loaded("event_loop")
    monkeypatch.setattr(example, "SECONDS", 1.5)
    sources = [Endless(portrait), Endless(portrait)]
    stream = Landmarker.stream
    monkeypatch.setattr(Landmarker, "stream", lambda self, name: stream(self, sources[int(name)]))
    before = set(threading.enumerate())
    asyncio.run(example.main("0", "1"))
    lines = sorted(capsys.readouterr().out.splitlines())
    assert lines[2] == "stopped after 1.5 s"
    assert [source.closed > 0 for source in sources] == [True, True]
    for place, line in enumerate(lines[:2]):
        number, faces, frames = numbers(line)
        assert (number, faces) == (place, frames)
        assert frames > 1  # both went on, side by side
    assert not {t.name for t in set(threading.enumerate()) - before if t.name.startswith(("ahead", "stream"))}
