"""Wide CSV: one row a face."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path

from lmdeploy.types import U8, HeadPose, Landmarks
from lmdeploy.video.frame import Frame
from lmdeploy.writers.lines import LineFile


class CsvSink:
    """Points-CSV, one row a face: image,frame,time_ms,track,score,x0,y0,x1,y1,...; an empty cell = not known.

    Smoothed points in image px, to 1/1000 px; score: the mean over the points. With `pose` the columns yaw, pitch and
    roll (degrees, lmdeploy.pose) stand before x0. lmdeploy.dataset reads it as labels in both forms.
    With `sources` the column source, Frame.source, stands first.
    A killed process leaves whole rows, up to the last frame.
    """

    drawn = False

    def __init__(self, path: Path, points: int, *, pose: bool = False, sources: bool = False) -> None:
        """Write the header for so many points."""
        self._pose, self._sources = pose, sources
        columns = ["source"] if sources else []
        columns += ["image", "frame", "time_ms", "track", "score", *(["yaw", "pitch", "roll"] if pose else [])]
        columns += [f"{axis}{k}" for k in range(points) for axis in "xy"]
        self._file = LineFile(path, ",".join(columns) + "\n")

    def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None = None) -> None:
        """Add one row a face."""
        if faces:
            self._file.write("".join(self._row(frame, face) for face in faces))

    def close(self) -> None:
        """Flush and close."""
        self._file.close()

    def _row(self, frame: Frame, face: Landmarks) -> str:
        cells = [f"{x:.3f},{y:.3f}" if isfinite(x + y) else "," for x, y in face.points.tolist()]
        turn = f"{_angles(face.pose)}," if self._pose else ""
        start = first_cells(frame, face, sources=self._sources)
        return f"{start},{float(face.score.mean()):.4f},{turn}{','.join(cells)}\n"


def first_cells(frame: Frame, face: Landmarks, *, sources: bool = False) -> str:
    """The cells (source,) image,frame,time_ms,track; an empty one = not known."""
    time = "" if frame.time_ms is None else f"{frame.time_ms:.3f}"
    start = f"{quoted(frame.source)}," if sources else ""
    return f"{start}{quoted(frame.name)},{frame.index},{time},{face.track if face.track >= 0 else ''}"


def quoted(text: str) -> str:
    """A text as a cell (RFC 4180)."""
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if set(text) & set(',"\n\r') else text


def _angles(pose: HeadPose | None) -> str:
    return ",," if pose is None else f"{pose.yaw_deg:.2f},{pose.pitch_deg:.2f},{pose.roll_deg:.2f}"
