"""Text that grows by whole lines, in a file or on standard output."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from lmdeploy.writers.base import unwritable


class LineFile:
    """A text file that only ever holds whole lines; InputError when it cannot be written.

    It appears at its name with a complete header, then grows by whole lines, each call in one write: only a kill
    within that system call, or a power cut, can leave a line without its end, which readers (csv_table) name.
    """

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
            raise unwritable(path, error) from error

    def write(self, text: str) -> None:
        """Append whole lines in one write; of lines that do not fit on the disk nothing stays."""
        content = memoryview(text.encode())
        before, done = self._file.tell(), 0
        try:
            while done < len(content):  # a disk that is nearly full takes a part of them
                done += self._file.write(content[done:]) or 0
        except OSError as error:
            with suppress(OSError):
                os.truncate(self._file.fileno(), before)
            raise unwritable(self._path, error) from error

    def close(self) -> None:
        """Flush to the disk and close; a second call does nothing."""
        if self._file.closed:
            return
        with self._file:
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                raise unwritable(self._path, error) from error


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
