"""Long CSV: every number at its landmark, read back by another reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lmdeploy.schema import LandmarkSchema
from lmdeploy.types import Box, Landmarks
from lmdeploy.video.frame import Frame
from lmdeploy.writers.long_csv import LongCsvSink
from tests.tiny_bundle import BLOBS3

PICTURE = np.zeros((12, 16, 3), np.uint8)
ODD = BLOBS3.model_copy(update={"names": ("red", 'the "green", upper', "blue")})


def face(shift: float, track: int) -> Landmarks:
    points = np.array([[1.25, 2.5], [np.nan, np.nan], [5.5, 6.0625]], np.float32) + np.float32(shift)
    score, spread = np.array([0.5, 0.75, 1.0], np.float32), np.array([1.0, 3.0, np.nan], np.float32)
    return Landmarks(points, points + np.float32(9), score, spread, Box(1, 2, 3, 4), track=track)


def written(path: Path, schema: LandmarkSchema) -> pd.DataFrame:
    sink = LongCsvSink(path, schema)
    sink.write(Frame(PICTURE, 7, 233.3333, "a,b.png"), [face(0, 4)])
    sink.write(Frame(PICTURE, 8, None, "c.png"), [face(10, -1), face(20, -1)])
    sink.write(Frame(PICTURE, 9, None, "d.png"), [])
    sink.close()
    sink.close()
    return pd.read_csv(path)


def test_rows_are_what_the_frames_were(tmp_path: Path) -> None:
    table = written(tmp_path / "deep" / "p.long.csv", ODD)
    columns = ["image", "frame", "time_ms", "track", "face", "landmark", "name", "x", "y", "score", "spread"]
    assert list(table.columns) == columns
    assert table.frame.tolist() == [7] * 3 + [8] * 6
    assert table.face.tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 1]
    assert table.landmark.tolist() == [0, 1, 2] * 3
    assert table.name.tolist() == list(ODD.names) * 3
    assert set(table.image) == {"a,b.png", "c.png"}
    assert table.time_ms[0] == 233.333
    assert table.time_ms[3:].isna().all()
    assert table.track[:3].tolist() == [4, 4, 4]
    assert table.track[3:].isna().all()


def test_numbers_are_smoothed_points_and_unknown_ones_are_empty(tmp_path: Path) -> None:
    table = written(tmp_path / "p.long.csv", BLOBS3)
    np.testing.assert_allclose(table.x, [1.25, np.nan, 5.5, 11.25, np.nan, 15.5, 21.25, np.nan, 25.5])
    np.testing.assert_allclose(table.y[:3], [2.5, np.nan, 6.0625], atol=6e-4)
    np.testing.assert_allclose(table.score[:3], [0.5, 0.75, 1.0])
    np.testing.assert_allclose(table.spread[:3], [1.0, 3.0, np.nan])
