"""Results in the forms that others compute with: one array, or a pandas table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import count
from typing import Any, Literal

import numpy as np

from lmdeploy.errors import InputError, MissingExtraError
from lmdeploy.schema import LandmarkSchema
from lmdeploy.types import F32, Landmarks

Results = Sequence[Landmarks] | Sequence[Sequence[Landmarks]]
"""What `Landmarker.predict` returns (or the faces of one stream), or a list of such lists, one an image."""


def to_numpy(results: Results) -> F32:
    """Points f32[N,K,2] of all N faces in order, image px, (x, y); an integer is a pixel's centre.

    Args:
        results: the faces of one image, or a list of such lists. Without a face the answer is f32[0,0,2].
    Errors: InputError when the faces are of models with different numbers of landmarks.
    """
    faces = [face for _, face in _flat(results)]
    return np.stack([face.points for face in faces]) if _points(faces) else np.empty((0, 0, 2), np.float32)


def to_pandas(
    results: Results,
    form: Literal["wide", "long"] = "wide",
    *,
    images: Sequence[str] | None = None,
    schema: LandmarkSchema | None = None,
) -> Any:
    """A pandas.DataFrame with the columns of the CSV files.

    wide: one row a face: image, frame, time_ms, track, score (mean over the points), x0, y0, x1, y1, ...; where a face
    has its pose, yaw, pitch and roll (degrees, lmdeploy.pose) before x0.
    long: one row a landmark: image, frame, time_ms, track, face, landmark, name, x, y, score, spread.
    Positions in image px; what is not known is missing (NaN, <NA>, None). `track` is of pandas' Int64.

    Args:
        results: the faces of one image, or a list of such lists.
        form: wide or long.
        images: the name of each image; without it they are numbered from 0.
        schema: whose names the landmarks have; without it `name` is missing.
    Errors: InputError for names, a schema or faces that do not fit each other; MissingExtraError without pandas.
    """
    rows = _flat(results)
    points = _points([face for _, face in rows])
    if form not in ("wide", "long"):
        raise InputError(f"form {form!r} is neither 'wide' nor 'long'")
    if schema is not None and rows and schema.points != points:
        raise InputError(f"the schema {schema.name} has {schema.points} points but the faces have {points}")
    named = _names(results, images)
    pandas = _import_pandas()
    about = {
        "image": [named[image] for image, _ in rows],
        "frame": np.array([face.frame for _, face in rows], np.int64),
        "time_ms": np.array([face.time_ms for _, face in rows], np.float64),
        "track": pandas.array([face.track if face.track >= 0 else None for _, face in rows], "Int64"),
    }
    table = pandas.DataFrame(about)
    if form == "wide":
        return _wide(pandas, table, [face for _, face in rows], points)
    return _long(pandas, table, rows, points, schema)


def _wide(pandas: Any, table: Any, faces: list[Landmarks], points: int) -> Any:
    table["score"] = np.array([face.score.mean() for face in faces], np.float32)
    if any(face.pose is not None for face in faces):
        for angle in ("yaw", "pitch", "roll"):
            table[angle] = [getattr(face.pose, f"{angle}_deg", np.nan) for face in faces]
    columns = [f"{axis}{k}" for k in range(points) for axis in "xy"]
    positions = pandas.DataFrame(to_numpy(faces).reshape(len(faces), 2 * points), columns=columns)
    return pandas.concat([table, positions], axis=1)


def _long(
    pandas: Any, table: Any, rows: list[tuple[int, Landmarks]], points: int, schema: LandmarkSchema | None
) -> Any:
    numbers: defaultdict[tuple[int, int], count[int]] = defaultdict(count)
    table["face"] = np.array([next(numbers[image, face.frame]) for image, face in rows], np.int64)
    long = table.loc[table.index.repeat(points)].reset_index(drop=True)
    long["landmark"] = np.tile(np.arange(points), len(rows))
    long["name"] = list(schema.names if schema else [None] * points) * len(rows)
    flat = to_numpy([face for _, face in rows]).reshape(-1, 2)
    long["x"], long["y"] = flat[:, 0], flat[:, 1]
    for column in ("score", "spread"):
        values = [getattr(face, column) for _, face in rows]
        long[column] = np.concatenate(values) if values else np.empty(0, np.float32)
    return long


def _flat(results: Results) -> list[tuple[int, Landmarks]]:
    """Every face with the number of its image."""
    rows: list[tuple[int, Landmarks]] = []
    entries: Sequence[Landmarks | Sequence[Landmarks]] = results
    for number, entry in enumerate(entries):
        rows += [(0, entry)] if isinstance(entry, Landmarks) else [(number, face) for face in entry]
    return rows


def _names(results: Results, images: Sequence[str] | None) -> Sequence[str | int]:
    wanted = 1 if results and isinstance(results[0], Landmarks) else len(results)
    if images is None:
        return range(wanted)
    if isinstance(images, str) or len(images) != wanted:
        raise InputError(f"images names {len(images)} of {wanted} images: give one name an image, in a list")
    return images


def _points(faces: Sequence[Landmarks]) -> int:
    """Landmarks per face, 0 without faces."""
    counts = sorted({len(face.points) for face in faces})
    if len(counts) > 1:
        raise InputError(
            f"faces with {' and '.join(map(str, counts))} points: convert the results of each model apart"
        )
    return counts[0] if counts else 0


def _import_pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise MissingExtraError("tables need pandas: pip install 'landmark-deploy[pandas]'") from error
    return pandas
