"""Long ("tidy") CSV: one row a landmark."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path

import numpy as np

from lmdeploy.schema import LandmarkSchema
from lmdeploy.types import U8, Landmarks
from lmdeploy.video.frame import Frame
from lmdeploy.writers.lines import LineFile
from lmdeploy.writers.wide_csv import first_cells, quoted

HEADER = "image,frame,time_ms,track,face,landmark,name,x,y,score,spread\n"


class LongCsvSink:
    """One row a landmark: image,frame,time_ms,track,face,landmark,name,x,y,score,spread; an empty cell = not known.

    face: number of the face in its frame, 0 first, which tells untracked faces of one image apart. landmark, name:
    its index and its name in the schema. x, y: smoothed, image px; spread: image px. With `sources` the column source,
    Frame.source, stands first. A killed process leaves whole rows, up to the last frame.
    """

    drawn = False

    def __init__(self, path: Path, schema: LandmarkSchema, *, sources: bool = False) -> None:
        """Write the header."""
        self._sources = sources
        self._labels = [f"{index},{quoted(name)}" for index, name in enumerate(schema.names)]
        self._file = LineFile(path, f"source,{HEADER}" if sources else HEADER)

    def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None = None) -> None:
        """Add the rows of every face."""
        if faces:
            self._file.write("".join(self._rows(frame, number, face) for number, face in enumerate(faces)))

    def close(self) -> None:
        """Flush and close."""
        self._file.close()

    def _rows(self, frame: Frame, number: int, face: Landmarks) -> str:
        start = f"{first_cells(frame, face, sources=self._sources)},{number}"
        values = np.column_stack([face.points, face.score, face.spread]).tolist()
        return "".join(
            f"{start},{label},{_point(x, y)},{_cell(score, 4)},{_cell(spread, 3)}\n"
            for label, (x, y, score, spread) in zip(self._labels, values, strict=True)
        )


def _point(x: float, y: float) -> str:
    return f"{x:.3f},{y:.3f}" if isfinite(x + y) else ","


def _cell(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if isfinite(value) else ""
