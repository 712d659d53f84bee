"""Sources that fail at random: the run goes on, nobody is mixed up, nothing is left. The long run is a benchmark."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import soak
from benchmarks.stamped_faces import StampDetector, black, stamp_of, stamped, truth
from lmdeploy.landmarker import Landmarker
from lmdeploy.model import open_model
from lmdeploy.types import F32, Box, Landmarks
from lmdeploy.video.frame import Frame
from lmdeploy.video.stream import Seen
from tests.tiny_bundle import make_tiny_bundle


@pytest.fixture(scope="module")
def landmarker(tmp_path_factory: pytest.TempPathFactory) -> Landmarker:
    bundle = make_tiny_bundle(tmp_path_factory.mktemp("b") / "tiny")
    return Landmarker(open_model(bundle.path, threads=1), StampDetector)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_random_failures_mix_up_nobody_and_leave_nothing(landmarker: Landmarker) -> None:
    soak.soak(landmarker, 100, seed=1)
    found = soak.soak(landmarker, 1200, seed=2).figures()
    assert found["frames"] == 1200
    assert found["wrong"] == 0
    assert found["faces_share"] > 0.9
    assert found["outages"] >= 2
    assert found["growth_percent"] < 3  # a short run; the long one is held to 1 %
    assert found["threads_left"] == 0
    assert found["files_left"] <= 0


def seen(source: int, number: int, points: F32, *, track: int = 0, part: int = 0) -> Seen:
    image = stamped(source, number)
    face = Landmarks(points, points, np.ones(3, np.float32), np.ones(3, np.float32), Box(0, 0, 1, 1), track=track)
    return Seen(Frame(image, number, 0.0, "", 0.0, part), [face], source)


def right(source: int, number: int) -> F32:
    return truth(source, number, 160, 160).astype(np.float32)


def test_tally_sees_every_kind_of_mix_up() -> None:
    good = seen(1, 7, right(1, 7))
    dark = replace(good, frame=replace(good.frame, image=black(1, 8)))
    cases = {
        "all right": ([good, seen(1, 8, right(1, 8)), seen(2, 8, right(2, 8), track=3)], 0),
        "points of another picture": ([seen(1, 7, right(1, 13))], 1),
        "points of another source": ([seen(1, 7, right(3, 7))], 1),
        "result under another source": ([replace(good, source=2)], 1),
        "face in the dark": ([dark], 1),
        "track through an interruption": ([good, seen(1, 8, right(1, 8), part=1)], 1),
        "new track after it": ([good, seen(1, 8, right(1, 8), part=1, track=1)], 0),
        "old track again": ([seen(1, 6, right(1, 6), track=4), good], 1),
    }
    for name, (results, wrong) in cases.items():
        tally = soak.Tally()
        for result in results:
            tally.add(result)
        assert tally.wrong == wrong, name
    assert stamp_of(stamped(3, 70_000)) == (3, 70_000, True)
