"""CSV files with a header line, read row by row: AffectNet's has 415,000 rows of a thousand characters."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lmdeploy.errors import InputError


@dataclass(frozen=True, slots=True)
class Row:
    """The wanted cells of a row by column, none where it has another length than the header; `where` for messages."""

    where: str
    cells: dict[str, str]

    def text(self, column: str) -> str:
        """The cell without spaces around it; InputError for a row of another length than the header."""
        if column not in self.cells:
            raise InputError(f"{self.where}: the row has not as many cells as the header; copy the file again")
        return self.cells[column].strip()


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Rows in the file's order with the cells of `columns`; empty lines are skipped.

    InputError, while reading, for a file without one of the columns or that is no CSV file.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            lines = csv.reader(stream)
            header = [cell.strip() for cell in next(lines, [])]
            missing = [column for column in columns if column not in header]
            if missing:
                raise InputError(f"{path}: the header has no column {missing[0]!r}, so it is another file")
            at = {column: header.index(column) for column in columns}
            for cells in filter(None, lines):
                whole = len(cells) == len(header)
                found = {column: cells[k] for column, k in at.items()} if whole else {}
                yield Row(f"{path.name} line {lines.line_num}", found)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a readable CSV file ({error})") from error
