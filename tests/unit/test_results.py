"""Results as arrays and tables: equal to what another reader finds in the CSV files."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lmdeploy import InputError, Landmarks, to_numpy, to_pandas
from lmdeploy.errors import MissingExtraError
from lmdeploy.types import Box
from lmdeploy.video.frame import Frame
from lmdeploy.writers.long_csv import LongCsvSink
from lmdeploy.writers.wide_csv import CsvSink
from tests.tiny_bundle import BLOBS3

IMAGES = ["a.png", "b.png", "c.png"]


def face(shift: float, frame: int, points: int = 3, time_ms: float | None = None, track: int = -1) -> Landmarks:
    at = np.arange(2 * points, dtype=np.float32).reshape(points, 2) * np.float32(1.5) + np.float32(shift)
    if points > 1:
        at[1] = np.nan
    score, spread = np.linspace(0.25, 1, points, dtype=np.float32), np.ones(points, np.float32)
    return Landmarks(at, at + np.float32(9), score, spread, Box(1, 2, 3, 4), frame, time_ms, track)


FACES = [[face(0, 0, time_ms=33.25, track=4)], [], [face(10, 2), face(20, 2)]]


def test_numpy_stacks_all_faces() -> None:
    found = to_numpy(FACES)
    assert (found.shape, found.dtype) == ((3, 3, 2), np.float32)
    np.testing.assert_array_equal(found[2], FACES[2][1].points)
    np.testing.assert_array_equal(to_numpy(FACES[2]), found[1:])
    assert to_numpy([]).shape == to_numpy([[], []]).shape == (0, 0, 2)


@pytest.mark.parametrize("form", ["wide", "long"])
def test_tables_equal_the_csv_files(tmp_path: Path, form: str) -> None:
    path = tmp_path / "p.csv"
    sink = CsvSink(path, 3) if form == "wide" else LongCsvSink(path, BLOBS3)
    for index, faces in enumerate(FACES):
        time_ms = faces[0].time_ms if faces else None
        sink.write(Frame(np.zeros((4, 4, 3), np.uint8), index, time_ms, IMAGES[index]), faces)
    sink.close()
    table = to_pandas(FACES, form, images=IMAGES, schema=BLOBS3)  # type: ignore[arg-type]  # one of the two
    pd.testing.assert_frame_equal(table, pd.read_csv(path, dtype={"track": "Int64"}), check_dtype=False, atol=6e-4)


def test_types_and_what_is_missing() -> None:
    table = to_pandas(FACES, "long")
    assert table.image.tolist() == [0, 0, 0, 2, 2, 2, 2, 2, 2]
    assert table.name.isna().all()
    assert (table.x.dtype, table.track.dtype, table.frame.dtype) == (np.float32, "Int64", np.int64)
    assert table.track.isna().sum() == table.time_ms.isna().sum() == 6
    assert np.isnan(table.x[1])


def test_faces_of_one_stream_are_numbered_within_their_frame() -> None:
    flat = [face(0, 0), face(1, 0), face(2, 5)]
    assert to_pandas(flat, "long").face.tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert to_pandas(flat, images=["v.mp4"]).image.tolist() == ["v.mp4"] * 3


@pytest.mark.parametrize("results", [[], [[], []]])
def test_no_face_gives_a_table_without_rows(results: list[list[Landmarks]]) -> None:
    assert list(to_pandas(results).columns) == ["image", "frame", "time_ms", "track", "score"]
    columns = ["image", "frame", "time_ms", "track", "face", "landmark", "name", "x", "y", "score", "spread"]
    table = to_pandas(results, "long", schema=BLOBS3)
    assert (list(table.columns), len(table)) == (columns, 0)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(InputError, match="3 and 5 points"):
        to_numpy([face(0, 0), face(0, 0, points=5)])
    with pytest.raises(InputError, match="images names 2 of 3 images"):
        to_pandas(FACES, images=["a", "b"])
    with pytest.raises(InputError, match="blobs3 has 3 points but the faces have 1"):
        to_pandas([face(0, 0, points=1)], schema=BLOBS3)
    with pytest.raises(InputError, match="'tall' is neither"):
        to_pandas(FACES, "tall")  # type: ignore[arg-type]  # on purpose


def test_without_pandas_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'landmark-deploy\[pandas\]'"):
        to_pandas(FACES)
