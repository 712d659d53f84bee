"""Where results go: wide CSV, NDJSON and annotated images. A killed process leaves valid files behind.

Tables appear at their name with a complete header, then grow by whole lines, each in one write. Images are written
to a draft and renamed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Protocol

import numpy as np

from lmdeploy.errors import InputError
from lmdeploy.types import F32, U8, Landmarks
from lmdeploy.video.frame import Frame

WRITABLE = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
JPEG_QUALITY = 92


class Sink(Protocol):
    """Takes the results of a stream, frame by frame."""

    drawn: bool
    """True where `write` needs the annotated picture."""

    def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None) -> None:
        """Add one frame; picture: u8[H,W,3] RGB with the landmarks drawn, None unless `drawn`."""
        ...

    def close(self) -> None:
        """Finish the file; a second call does nothing."""
        ...


class LineFile:
    """A text file that only ever holds whole lines; InputError when it cannot be written."""

    def __init__(self, path: Path, header: str = "") -> None:
        """Put the header (a line with its end, or nothing) in place and open the file for more."""
        self._path = path
        draft = path.with_name(f".{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(header.encode())
            draft.replace(path)
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise _unwritable(path, error) from error

    def write(self, text: str) -> None:
        """Append whole lines in one write."""
        try:
            self._file.write(text.encode())
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def close(self) -> None:
        """Flush to the disk and close; a second call does nothing."""
        if self._file.closed:
            return
        with self._file:
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                raise _unwritable(self._path, error) from error


class StandardOutput:
    """Lines on standard output, each flushed, so that a program at the other end sees it at once."""

    def write(self, text: str) -> None:
        """Print whole lines; BrokenPipeError when nobody reads them any more."""
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            # Python flushes standard output once more at its end, which must not fail again
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise

    def close(self) -> None:
        """Nothing to do."""


class CsvSink:
    """Points-CSV, one row a face: image,frame,time_ms,track,score,x0,y0,x1,y1,...; an empty cell = not known.

    Smoothed points in image px, to 1/1000 px; score: the mean over the points. lmdeploy.dataset reads it as labels.
    """

    drawn = False

    def __init__(self, path: Path, points: int) -> None:
        """Write the header for so many points."""
        columns = ["image", "frame", "time_ms", "track", "score", *(f"{a}{k}" for k in range(points) for a in "xy")]
        self._file = LineFile(path, ",".join(columns) + "\n")

    def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None = None) -> None:
        """Add one row a face."""
        self._file.write("".join(_csv_row(frame, face) for face in faces))

    def close(self) -> None:
        """Flush and close."""
        self._file.close()


class NdjsonSink:
    """One JSON object a line and face: smoothed `points`, `points_raw`, score, spread, box, digest, provider.

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


class ImageSink:
    """Annotated pictures in a folder, under the frames' names; two frames of one name get numbers."""

    drawn = True

    def __init__(self, folder: Path) -> None:
        """Make the folder."""
        self._folder = folder
        self._used: set[str] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(folder, error) from error

    def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None) -> None:
        """Write one picture; InputError when it cannot be written."""
        assert picture is not None
        path = self._folder / self._free_name(frame)
        try:
            write_image(path, picture)
        except OSError as error:
            raise _unwritable(path, error) from error

    def close(self) -> None:
        """Nothing is held open."""

    def _free_name(self, frame: Frame) -> str:
        path = Path(frame.name)
        suffix = path.suffix if path.suffix.lower() in WRITABLE else ".jpg"
        name = f"{path.stem}{suffix}"
        if frame.time_ms is None:  # names of a stream's frames cannot clash, and must not pile up in memory
            if name in self._used:
                name = f"{path.stem}_{frame.index}{suffix}"
            self._used.add(name)
        return name


def write_image(path: Path, image: U8) -> None:
    """Write u8[H,W,3] RGB as the kind of file that the suffix says, under its name only when complete."""
    import cv2

    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix.lower() in (".jpg", ".jpeg") else []
    good, content = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not good:
        raise InputError(f"{path}: OpenCV cannot write this kind of image; choose .jpg or .png")
    draft = path.with_name(f".{path.name}.part")
    draft.write_bytes(content.tobytes())
    draft.replace(path)


def ndjson_line(frame: Frame, face: Landmarks) -> str:
    """One face as a JSON object and a line end; numbers that are not finite become null."""
    record = {
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
    return json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n"


def _csv_row(frame: Frame, face: Landmarks) -> str:
    name = f'"{frame.name.replace(chr(34), chr(34) * 2)}"' if set(frame.name) & set(',"\n\r') else frame.name
    time = "" if frame.time_ms is None else f"{frame.time_ms:.3f}"
    cells = [f"{x:.3f},{y:.3f}" if isfinite(x + y) else "," for x, y in face.points.tolist()]
    track = face.track if face.track >= 0 else ""
    return f"{name},{frame.index},{time},{track},{float(face.score.mean()):.4f},{','.join(cells)}\n"


def _numbers(values: F32, digits: int) -> list[object]:
    rounded = np.round(values.astype(np.float64), digits)
    if np.isfinite(rounded).all():
        return list(rounded.tolist())
    mixed = rounded.astype(object)
    mixed[~np.isfinite(rounded)] = None
    return list(mixed.tolist())


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path} cannot be written ({error.strerror}); choose another place or free some space")
