"""Parquet: other readers see the types, the values and the metadata; parts become one file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmdeploy.errors import InputError
from lmdeploy.types import Box, Landmarks
from lmdeploy.video.frame import Frame
from lmdeploy.writers import parquet, spool
from lmdeploy.writers.base import About
from lmdeploy.writers.parquet import ParquetSink
from lmdeploy.writers.recover import recover
from tests.tiny_bundle import BLOBS3

ABOUT = About(BLOBS3, "d0")


def face(shift: float, track: int = -1) -> Landmarks:
    points = np.array([[1.25, 2.5], [np.nan, np.nan], [5.5, 6.0625]], np.float32) + np.float32(shift)
    score, spread = np.array([0.5, 0.75, 1.0], np.float32), np.array([1.0, 3.0, np.nan], np.float32)
    return Landmarks(
        points, points + np.float32(9), score, spread, Box(1, 2, 3, 4), track=track, digest="d1", provider="CPU"
    )


def frame(index: int, time_ms: float | None = None) -> Frame:
    return Frame(np.zeros((12, 16, 3), np.uint8), index, time_ms, f"{index}.png")


def write(path: Path, counts: list[int]) -> ParquetSink:
    """Frames with so many faces each; face number n of all is shifted by n."""
    sink, done = ParquetSink(path, ABOUT), 0
    for index, count in enumerate(counts):
        sink.write(frame(index), [face(done + i) for i in range(count)])
        done += count
    return sink


def test_types_and_values(tmp_path: Path) -> None:
    sink = ParquetSink(tmp_path / "deep" / "p.parquet", ABOUT)
    sink.write(frame(7, 233.5), [face(0, track=4)])
    sink.write(frame(8), [face(10), face(20)])
    sink.write(frame(9), [])
    sink.close()
    sink.close()
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["p.parquet"]
    table = pq.read_table(tmp_path / "deep" / "p.parquet")
    assert table.schema.field("x").type == pa.list_(pa.float32())
    assert [str(table.schema.field(n).type) for n in ("image", "frame", "time_ms", "track", "face", "score")] == [
        "string", "int64", "double", "int32", "int32", "float",
    ]  # fmt: skip
    first, second, third = table.to_pylist()
    assert [first[n] for n in ("image", "frame", "time_ms", "track", "face")] == ["7.png", 7, 233.5, 4, 0]
    assert [third[n] for n in ("image", "frame", "time_ms", "track", "face")] == ["8.png", 8, None, None, 1]
    assert (first["x"], first["y"]) == ([1.25, None, 5.5], [2.5, None, 6.0625])
    assert (first["x_raw"], first["y_raw"]) == ([10.25, None, 14.5], [11.5, None, 15.0625])
    assert (first["point_score"], first["spread"]) == ([0.5, 0.75, 1.0], [1.0, 3.0, None])
    assert (second["score"], second["digest"], second["provider"]) == (0.75, "d1", "CPU")
    assert [second[f"box_{side}"] for side in ("x0", "y0", "x1", "y1")] == [1, 2, 3, 4]


def test_pandas_stacks_the_lists(tmp_path: Path) -> None:
    write(tmp_path / "p.parquet", [1, 2]).close()
    table = pd.read_parquet(tmp_path / "p.parquet")
    np.testing.assert_allclose(np.stack(table.x), [[1.25, np.nan, 5.5], [2.25, np.nan, 6.5], [3.25, np.nan, 7.5]])


def test_metadata_tells_schema_and_bundle_even_without_a_face(tmp_path: Path) -> None:
    ParquetSink(tmp_path / "p.parquet", ABOUT).close()
    with pq.ParquetFile(tmp_path / "p.parquet") as file:
        kept = {key.decode(): value.decode() for key, value in file.metadata.metadata.items()}
        assert file.metadata.num_rows == 0
    assert kept["lmdeploy.digest"] == "d0"
    assert json.loads(kept["lmdeploy.schema"])["names"] == ["red", "green", "blue"]
    assert "x_raw" in pd.read_parquet(tmp_path / "p.parquet").columns


def test_parts_become_one_file_in_order_with_large_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "FLUSH_FACES", 4)
    monkeypatch.setattr(parquet, "ROW_GROUP", 10)
    sink = write(tmp_path / "p.parquet", [3] * 9)
    assert not (tmp_path / "p.parquet").exists()
    parts = sorted(spool.hidden_folder(tmp_path / "p.parquet").glob("*.parquet"))
    assert [pq.read_metadata(part).num_rows for part in parts] == [0, 6, 6, 6, 6]
    sink.close()
    with pq.ParquetFile(tmp_path / "p.parquet") as file:
        assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [12, 12, 3]
        table = file.read().to_pandas()
    np.testing.assert_allclose([x[0] for x in table.x], 1.25 + np.arange(27))
    assert table.frame.tolist() == np.repeat(np.arange(9), 3).tolist()
    assert table.face.tolist() == [0, 1, 2] * 9


def test_a_slow_stream_is_flushed_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(parquet, "monotonic", lambda: clock[0])
    sink = ParquetSink(tmp_path / "p.parquet", ABOUT)
    for index in range(4):
        clock[0] += parquet.FLUSH_S / 2
        sink.write(frame(index), [face(index)] if index else [])
    parts = sorted(spool.hidden_folder(tmp_path / "p.parquet").glob("*.parquet"))
    assert [pq.read_metadata(part).num_rows for part in parts] == [0, 2]
    assert pq.read_table(recover(tmp_path / "p.parquet")).num_rows == 2


def test_a_new_run_sweeps_what_a_killed_one_left(tmp_path: Path) -> None:
    write(tmp_path / "p.parquet", [2])
    write(tmp_path / "p.parquet", [3]).close()
    assert pq.read_table(tmp_path / "p.parquet").num_rows == 3
    with pytest.raises(InputError, match="nothing to recover"):
        recover(tmp_path / "p.parquet")
    with pytest.raises(InputError, match="nothing to recover"):
        recover(tmp_path / "p.csv")


@pytest.mark.parametrize("name", ["p.parquet", "p.json"])
def test_a_run_killed_before_its_first_part_has_nothing_to_recover(tmp_path: Path, name: str) -> None:
    spool.start(tmp_path / name)
    with pytest.raises(InputError, match="nothing to recover"):
        recover(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_what_cannot_be_finished_keeps_its_parts(tmp_path: Path) -> None:
    sink = write(tmp_path / "p.parquet", [2])
    (tmp_path / "p.parquet").mkdir()
    with pytest.raises(InputError, match=r"p\.parquet cannot be written"):
        sink.close()
    (tmp_path / "p.parquet").rmdir()
    assert pq.read_table(recover(tmp_path / "p.parquet")).num_rows == 2
