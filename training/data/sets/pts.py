"""The .pts files of 300-W and 300-VW.

    version: 1
    n_points: 68
    {
    x y
    ...
    }

Coordinates are Matlab's: the first pixel's centre is (1, 1). Reading subtracts 1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lmdeploy.errors import InputError
from lmdeploy.types import F32
from training.data.sets.text import numbers, read_lines

FIRST_PIXEL = 1.0


def read_pts(path: Path, points: int) -> F32:
    """Points f32[points,2], image px, (x, y), first pixel (0, 0).

    InputError names a file that is cut short, has another number of points, or holds what is no number.
    """
    lines = [line.strip() for line in read_lines(path) if line.strip()]
    if "{" not in lines or "}" not in lines:
        raise InputError(f"{path}: not a complete .pts file (no braces); copy it again")
    rows = [line.split() for line in lines[lines.index("{") + 1 : lines.index("}")]]
    told = _told(lines[: lines.index("{")], path)
    if len(rows) != points or told != points:
        raise InputError(f"{path}: {len(rows)} points (n_points says {told}) instead of {points}")
    for row in rows:
        if len(row) != 2:
            raise InputError(f"{path}: the line {' '.join(row)!r} is not 'x y'")
    flat = numbers([cell for row in rows for cell in row], str(path))
    return (flat.reshape(points, 2) - FIRST_PIXEL).astype(np.float32)


def _told(header: list[str], path: Path) -> int:
    for line in header:
        key, _, value = line.partition(":")
        if key.strip() == "n_points" and value.strip().isdigit():
            return int(value)
    raise InputError(f"{path}: the header has no n_points")
