"""Parquet: one typed row a face, for pandas, DuckDB, Polars and the like.

Columns: image string, frame int64, time_ms float64, track int32, face int32 (number in its frame), score float32
(mean over the points), box_x0 box_y0 box_x1 box_y1 float32 (the box that was cropped), one list<float32> of K values
each for x, y (smoothed), x_raw, y_raw, point_score and spread; digest and provider string. Positions in image px, an
integer is a pixel's centre. Null = not known, also inside the lists. Lists rather than 2 K columns, for tables of all
schemas then have one shape: `x[31]` in DuckDB (counted from 1), `numpy.stack(table.x)` in pandas. Where poses were
asked for, yaw, pitch and roll (degrees, lmdeploy.pose) stand before x; of several sources the string source
(Frame.source) stands first.

The file's key-value metadata: lmdeploy.version, lmdeploy.schema (JSON: names, skeleton, flip pairs, ...) and
lmdeploy.digest (sha256 of the bundle that the run began with; the column tells of each row).

Killed: nothing at the file's name. Every FLUSH_FACES rows or FLUSH_S seconds a whole part went to the hidden folder,
and `recover` joins these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from lmdeploy.errors import MissingExtraError
from lmdeploy.types import F32, U8, Landmarks
from lmdeploy.video.frame import Frame
from lmdeploy.writers import spool
from lmdeploy.writers.base import About, unwritable

FLUSH_FACES = 500
FLUSH_S = 5.0
ROW_GROUP = 10_000  # rows of the finished file that are compressed, and read, together: 68 points make 16 MB
ANGLES = ("yaw", "pitch", "roll")
LISTS = ("x", "y", "x_raw", "y_raw", "point_score", "spread")
PART_NAME = "{:09d}.parquet"
FIRST = PART_NAME.format(0)
REPEATED = ["source", "digest", "provider"]  # a dictionary of coordinates only costs time and a third more space
PART = {"compression": "none", "use_dictionary": REPEATED}  # written between two frames, so fast
WHOLE = {"compression": "zstd", "use_dictionary": REPEATED}


def import_pyarrow() -> Any:
    """The package; MissingExtraError says how to install it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("Parquet output needs pyarrow: pip install 'landmark-deploy[parquet]'") from error
    return pyarrow


class ParquetSink:
    """A table of all faces; see the module for the columns and for what a kill leaves."""

    drawn = False

    def __init__(self, path: Path, about: About) -> None:
        """Begin the hidden folder; InputError when it cannot be written, MissingExtraError without pyarrow."""
        self._pa, self._path, self._closed = import_pyarrow(), path, False
        self._schema = arrow_schema(self._pa, about)
        self._folder = spool.start(path)
        self._rows: list[tuple[Frame, int, Landmarks]] = []
        self._parts, self._flushed = 0, monotonic()
        self._flush()  # a part without rows: even a run that finds nothing has columns and metadata

    def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None = None) -> None:
        """Add one row a face."""
        bare = replace(frame, image=np.empty((0, 0, 3), np.uint8))  # lets the picture go
        self._rows += [(bare, number, face) for number, face in enumerate(faces)]
        if self._rows and (len(self._rows) >= FLUSH_FACES or monotonic() - self._flushed > FLUSH_S):
            self._flush()

    def close(self) -> None:
        """Make the file; a second call does nothing."""
        if not self._closed:
            self._closed = True
            if self._rows:
                self._flush()
            spool.finish(self._path, assemble)

    def _flush(self) -> None:
        table = self._pa.Table.from_arrays(_columns(self._pa, self._schema, self._rows), schema=self._schema)
        part = self._folder / PART_NAME.format(self._parts)
        draft = part.with_suffix(".part")
        try:
            self._pa.parquet.write_table(table, str(draft), **PART)
            draft.replace(part)
        except OSError as error:
            raise unwritable(self._path, error) from error
        self._rows, self._parts, self._flushed = [], self._parts + 1, monotonic()


def assemble(folder: Path, draft: Path) -> None:
    """One file from the parts, in row groups of at least ROW_GROUP rows, holding one in memory."""
    pa = import_pyarrow()
    parts = sorted(folder.glob("*.parquet"))
    with pa.parquet.ParquetWriter(str(draft), _read(pa, parts[0]).schema, **WHOLE) as out:
        waiting: list[Any] = []
        for part in parts:
            waiting.append(_read(pa, part))
            if sum(table.num_rows for table in waiting) >= ROW_GROUP:
                out.write_table(pa.concat_tables(waiting).combine_chunks())
                waiting = []
        if waiting:
            out.write_table(pa.concat_tables(waiting).combine_chunks())


def arrow_schema(pa: Any, about: About) -> Any:
    """The columns, with the landmark schema and the bundle's digest as metadata."""
    from lmdeploy import __version__

    columns = [("source", pa.string())] if about.sources else []
    columns += [("image", pa.string()), ("frame", pa.int64()), ("time_ms", pa.float64()), ("track", pa.int32())]
    columns += [("face", pa.int32()), ("score", pa.float32())]
    columns += [(f"box_{side}", pa.float32()) for side in ("x0", "y0", "x1", "y1")]
    columns += [(name, pa.float32()) for name in (ANGLES if about.pose else ())]
    columns += [(name, pa.list_(pa.float32())) for name in LISTS]
    columns += [("digest", pa.string()), ("provider", pa.string())]
    metadata = {
        "lmdeploy.version": __version__,
        "lmdeploy.schema": about.schema.model_dump_json(),
        "lmdeploy.digest": about.digest,
    }
    return pa.schema(columns, metadata=metadata)


def _columns(pa: Any, schema: Any, rows: Sequence[tuple[Frame, int, Landmarks]]) -> list[Any]:
    angles = _angles if ANGLES[0] in schema.names else _no_columns
    own = _source if "source" in schema.names else _no_columns
    plain = [
        (
            *own(frame), frame.name, frame.index, frame.time_ms, face.track if face.track >= 0 else None, number,
            float(face.score.mean()), face.box.x0, face.box.y0, face.box.x1, face.box.y1,
            *angles(face),
        )
        for frame, number, face in rows
    ]  # fmt: skip
    first = len(plain[0]) if plain else schema.get_field_index(LISTS[0])
    columns = [pa.array([row[i] for row in plain], schema.field(i).type, from_pandas=True) for i in range(first)]
    faces = [face for _, _, face in rows]
    for name, values in _lists(faces).items():
        columns.append(_list_column(pa, values) if faces else pa.array([], schema.field(name).type))
    ends = ([face.digest for face in faces], [face.provider for face in faces])
    return [*columns, *(pa.array(texts, pa.string()) for texts in ends)]


def _angles(face: Landmarks) -> tuple[float | None, ...]:
    pose = face.pose
    return (None, None, None) if pose is None else (pose.yaw_deg, pose.pitch_deg, pose.roll_deg)


def _source(frame: Frame) -> tuple[str, ...]:
    return (frame.source,)


def _no_columns(of: Landmarks | Frame) -> tuple[()]:
    return ()


def _lists(faces: Sequence[Landmarks]) -> dict[str, list[F32]]:
    """Of each list column its rows f32[K]."""
    return {
        "x": [face.points[:, 0] for face in faces],
        "y": [face.points[:, 1] for face in faces],
        "x_raw": [face.points_raw[:, 0] for face in faces],
        "y_raw": [face.points_raw[:, 1] for face in faces],
        "point_score": [face.score for face in faces],
        "spread": [face.spread for face in faces],
    }


def _list_column(pa: Any, rows: list[F32]) -> Any:
    ends = np.cumsum([0, *map(len, rows)]).astype(np.int32)
    values = np.concatenate(rows).astype(np.float32, copy=False)
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(values, mask=~np.isfinite(values)))


def _read(pa: Any, part: Path) -> Any:
    with pa.parquet.ParquetFile(str(part)) as file:
        return file.read(use_threads=False)
