"""The tracking benchmark: what it calls jitter, lag and a mix-up is that, and it ends with bare figures."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import record, tracking, tracking_plot
from benchmarks.moving_portraits import SIZE, Portrait, pair
from benchmarks.stamped_faces import SHAPE
from lmdeploy.landmarker import Landmarker
from lmdeploy.model import open_model
from lmdeploy.types import Box, Landmarks
from tests.tiny_bundle import blob_image, make_tiny_bundle

TIME = np.arange(240) / tracking.RATE


def late(way: tracking.Way, lag_s: float, beside: float = 0.0) -> np.ndarray:
    """(time, truth, seen) where what is seen is late by that much, and stands a little beside."""
    return np.array([(t, way(t)[0], way(t - lag_s)[0] + beside) for t in TIME])


@pytest.mark.parametrize("lag_ms", [0.0, 10.0, 45.0])
def test_lag_is_found_in_steady_motion_and_in_a_sine(lag_ms: float) -> None:
    for speed in tracking.SPEEDS:
        track = late(tracking.to_and_fro(speed), lag_ms / 1e3, beside=0.003)
        assert 1e3 * tracking.steady_lag_s(track) == pytest.approx(lag_ms, abs=0.5)
    for hz in tracking.SINES:
        track = late(tracking.sine(hz), lag_ms / 1e3, beside=0.003)
        assert 1e3 * tracking.phase_lag_s(track) == pytest.approx(lag_ms, abs=2)


def test_motion_turns_at_constant_speed() -> None:
    places = np.array([tracking.to_and_fro(0.5)(t)[0] for t in np.arange(0, 4, 0.01)])
    assert np.ptp(places) == pytest.approx(0.5, abs=0.01)
    assert np.median(np.abs(np.diff(places))) == pytest.approx(0.005)


def test_jitter_is_the_root_mean_square_deviation_in_per_cent() -> None:
    rng = np.random.default_rng(0)
    points = SHAPE + rng.normal(0, 0.02 * SIZE, (2000, 3, 2))
    assert tracking.jitter(list(points)) == pytest.approx(2 * np.sqrt(2), rel=0.03)


def test_ids_are_judged_where_the_faces_are_apart() -> None:
    def face(track: int, x: float) -> Landmarks:
        points = (SHAPE - SHAPE.mean(axis=0) + [320 + SIZE * x, 180]).astype(np.float32)
        return Landmarks(points, points, points[:, 0], points[:, 0], Box(0, 0, 1, 1), track=track)

    places = [((-1.0, 0.0), (1.0, 0.0)), ((-0.1, 0.0), (0.1, 0.0)), ((1.0, 0.0), (-1.0, 0.0))]
    kept = [[face(0, -1), face(1, 1)], [face(1, 0)], [face(0, 1), face(1, -1)]]
    assert tracking.judged(kept, places) == {"mixed": 0, "new": 0, "together": 1.0}
    swapped = [*kept[:2], [face(0, -1)]]
    assert tracking.judged(swapped, places) == {"mixed": 1, "new": 0, "together": 0.5}
    assert tracking.judged([kept[0], [], [face(5, 1), face(7, -1)]], places)["new"] == 2


def test_front_head_hides_the_other() -> None:
    one = Portrait(np.full((200, 200, 3), 200, np.uint8), SHAPE.astype(np.float32), 45.0, (100.0, 100.0))
    other = Portrait(np.full((200, 200, 3), 30, np.uint8), SHAPE.astype(np.float32), 45.0, (100.0, 100.0))
    apart, same = (pair((one, other), ((-x, 0.0), (x, 0.0))) for x in (1.5, 0.0))
    assert (apart == 200).any()
    assert (apart == 30).any()
    assert not (same[170] == 200).any()


def test_full_run_writes_a_record_and_a_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = open_model(make_tiny_bundle(tmp_path / "tiny").path, threads=1)
    shape = SHAPE + 60
    monkeypatch.setattr(tracking, "read_portrait", lambda: blob_image(120, 120, shape, sigma=4.0, grey=100))
    monkeypatch.setattr(tracking.Landmarker, "load", lambda *_: Landmarker(model, _Blob))
    for name in ("QUICK", "FULL"):
        monkeypatch.setattr(tracking, name, tracking.Plan(1.5, 2.5, 0))
    monkeypatch.setattr(tracking, "SPEEDS", (0.5,))
    monkeypatch.setattr(tracking, "write_result", lambda *words: record.write_result(*words, tmp_path / "results"))
    monkeypatch.setattr(sys, "argv", ["x", "--picture", str(tmp_path / "t.png")])
    tracking.main()
    lines = [line.removeprefix("figure: ").split("=") for line in capsys.readouterr().out.splitlines()]
    found = {name: float(value) for name, value in lines}
    assert found["jitter"] < found["jitter_raw"]
    assert 0 < found["lag_0_5_ms"] < 40
    (path,) = (tmp_path / "results").iterdir()
    assert record.read_result(path).figures == pytest.approx(found, rel=1e-4)
    assert (tmp_path / "t.png").stat().st_size > 5000
    monkeypatch.setattr(tracking.Landmarker, "load", None)  # a record is drawn without measuring
    monkeypatch.setattr(sys, "argv", ["x", "--record", str(path), "--picture", str(tmp_path / "again.png")])
    tracking.main()
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "t.png").read_bytes()


def test_panels_say_what_moves_how_fast() -> None:
    assert tracking_plot.title("lag_0_25") == "to and fro, 0.25 face sizes a second"
    assert tracking_plot.title("lag_sine_2") == "sine, 2 Hz"
    track = np.array([[0.0, 5.0, 5.1, 5.2], [1.0, 6.0, 6.1, 6.2], [3.5, 0.0, 0.0, 0.0]])
    assert tracking_plot.shown(track) == [[1.0, 1.0, 1.1, 1.2]]


class _Blob:
    """The place of the three blobs, whose colours stand out of the grey."""

    name = "blob"

    def detect(self, image: np.ndarray) -> list[Box]:
        rows, columns = np.nonzero(np.ptp(image.astype(int), axis=2) > 90)
        return [Box(float(columns.min()), float(rows.min()), float(columns.max()), float(rows.max()), 1.0)]
