"""CSV files with a header and one row per image; whatever is wrong with a row is named, never guessed."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lmdeploy.errors import InputError


@dataclass(frozen=True, slots=True)
class Row:
    """One row; `where` names file, line and image for messages."""

    name: str
    where: str
    cells: dict[str, str]

    def get(self, column: str) -> str:
        """The cell's text, "" when the file has no such column."""
        return self.cells.get(column, "").strip()

    def numbers(self, columns: Sequence[str]) -> list[float]:
        """The cells as finite numbers, NaN for an empty one; InputError names the first that is neither."""
        values = []
        for column in columns:
            text = self.get(column)
            try:
                value = float(text) if text else math.nan
            except ValueError:
                value = math.inf
            if math.isinf(value) or (text and math.isnan(value)):
                raise InputError(f"{self.where}: {column} is {text!r}, not a finite number (empty = unknown)")
            values.append(value)
        return values


@dataclass(frozen=True, slots=True)
class Table:
    """Header, rows by image name in file order, and one line per row that could not be used."""

    header: tuple[str, ...]
    rows: dict[str, Row]
    problems: tuple[str, ...]


def read_table(path: Path, columns: Sequence[str]) -> Table:
    """Read a CSV file whose header has `image` and all of `columns`; other columns may stand anywhere.

    Rows of another length, without a name, or with a name that came before are left out and listed. InputError when
    the file cannot be read or a column is missing.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            lines = csv.reader(stream)
            header = tuple(cell.strip() for cell in next(lines, []))
            _check_header(path, header, columns)
            return _read_rows(path, header, lines)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a readable CSV file (it is not UTF-8): save it as UTF-8") from error
    except (OSError, csv.Error) as error:
        raise InputError(f"{path}: not a readable CSV file ({error})") from error


def _check_header(path: Path, header: tuple[str, ...], columns: Sequence[str]) -> None:
    missing = [column for column in ("image", *columns) if column not in header]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        other = next((mark for mark in ";\t" if header[:1] and mark in header[0]), None)
        hint = f"; it is divided by {other!r}: save it with commas" if other else ""
        raise InputError(f"{path}: the header has no column {missing[0]!r}{more}{hint}")
    if len(set(header)) < len(header):
        raise InputError(f"{path}: a column name stands in the header twice")


def _read_rows(path: Path, header: tuple[str, ...], lines: Iterator[list[str]]) -> Table:
    rows: dict[str, Row] = {}
    problems = []
    name_at = header.index("image")
    for number, cells in enumerate(lines, start=2):
        if not cells:
            continue
        name = cells[name_at].strip() if name_at < len(cells) else ""
        where = f"{path.name} line {number} ({name or 'no name'})"
        if len(cells) != len(header):
            problems.append(f"{where}: {len(cells)} cells instead of {len(header)}")
        elif not name:
            problems.append(f"{where}: the image has no name")
        elif name in rows:
            problems.append(f"{where}: the image stands in the file twice")
        else:
            rows[name] = Row(name, where, dict(zip(header, cells, strict=True)))
    return Table(header, rows, tuple(problems))
