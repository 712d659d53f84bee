"""NDJSON: one JSON object a line and face, with everything that is known of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lmdeploy.types import F32, U8, Landmarks
from lmdeploy.video.frame import Frame
from lmdeploy.writers.lines import LineFile, StandardOutput


class NdjsonSink:
    """One JSON object a line and face: smoothed `points`, `points_raw`, score, spread, box, digest, provider.

    Where a head's pose was asked for and found: `pose` with yaw, pitch, roll (degrees) and translation_mm, as in
    lmdeploy.pose. Where there are several sources: `source`, Frame.source.

    A killed process leaves whole lines, up to the last frame.

    Args:
        path: the file; None for standard output.
    """

    drawn = False

    def __init__(self, path: Path | None) -> None:
        """Open the file."""
        self._file: LineFile | StandardOutput = StandardOutput() if path is None else LineFile(path)

    def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None = None) -> None:
        """Add one line a face."""
        if faces:
            self._file.write("".join(ndjson_line(frame, face) for face in faces))

    def close(self) -> None:
        """Flush and close."""
        self._file.close()


def ndjson_line(frame: Frame, face: Landmarks) -> str:
    """One face as a JSON object and a line end; numbers that are not finite become null."""
    record: dict[str, object] = {"source": frame.source} if frame.source else {}
    record |= {
        "image": frame.name,
        "frame": frame.index,
        "time_ms": frame.time_ms,
        "track": face.track,
        "box": [round(v, 3) for v in (face.box.x0, face.box.y0, face.box.x1, face.box.y1)],
        "points": _numbers(face.points, 3),
        "points_raw": _numbers(face.points_raw, 3),
        "score": _numbers(face.score, 4),
        "spread": _numbers(face.spread, 3),
        "digest": face.digest,
        "provider": face.provider,
    }
    if (pose := face.pose) is not None:
        angles = {"yaw": pose.yaw_deg, "pitch": pose.pitch_deg, "roll": pose.roll_deg}
        turn: dict[str, object] = {name: round(value, 2) for name, value in angles.items()}
        record["pose"] = turn | {"translation_mm": pose.translation_mm.round(1).tolist()}
    return json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n"


def _numbers(values: F32, digits: int) -> list[object]:
    rounded = np.round(values.astype(np.float64), digits)
    if np.isfinite(rounded).all():
        return list(rounded.tolist())
    mixed = rounded.astype(object)
    mixed[~np.isfinite(rounded)] = None
    return list(mixed.tolist())
