"""Numbers and lines of annotation files; what is wrong is named with the place where it stands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lmdeploy.errors import InputError
from lmdeploy.types import F64, Box


def read_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 text file without their ends; InputError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable text file ({error})") from error


def numbers(cells: Sequence[str], where: str) -> F64:
    """Finite numbers f64[N]; InputError names the first cell that is none."""
    values = []
    for cell in cells:
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InputError(f"{where}: {cell!r} is not a finite number")
        values.append(value)
    return np.array(values, np.float64)


def box_of(edges: F64, where: str) -> Box:
    """Box from f64[4] x0, y0, x1, y1, px; InputError when it has no area."""
    x0, y0, x1, y1 = (float(edge) for edge in edges)
    if not (np.isfinite(edges).all() and x1 > x0 and y1 > y0):
        raise InputError(f"{where}: the box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) has no area")
    return Box(x0, y0, x1, y1)
