"""metrics.csv of a run: one row per stage and epoch, whole rows only, none twice after a resume."""

from __future__ import annotations

import csv
import io
import os
import time
from pathlib import Path

from lmdeploy.atomic import write_file

SAVE_EVERY_S = float(os.environ.get("LMDEPLOY_SAVE_EVERY_S", "20"))  # a killed run loses about that much work
HEADER = ("stage", "epoch", "name", "value")


class MetricsLog:
    """Appends in the long form (stage, epoch, name, value), which every method's scalars fit."""

    def __init__(self, path: Path, stage: str, start: int) -> None:
        """Drop what a killed run wrote of this stage after its last saved epoch `start`."""
        self._path, self._stage = path, stage
        rows: list[list[str]] = []
        if path.is_file():
            with path.open(newline="") as stream:
                rows = [r for r in csv.reader(stream) if len(r) == len(HEADER) and r[0] != HEADER[0]]
        kept = [r for r in rows if r[0] != stage or int(r[1]) <= start]
        text = io.StringIO(newline="")
        csv.writer(text).writerows([HEADER, *kept])
        write_file(path, text.getvalue().encode())
        self._last_save = time.monotonic()

    def add(self, epoch: int, values: dict[str, float]) -> None:
        """Write the epoch's scalars."""
        with self._path.open("a", newline="") as stream:
            csv.writer(stream).writerows([(self._stage, epoch, k, f"{v:.6g}") for k, v in values.items()])

    def seconds_since_save(self) -> float:
        """Seconds since the last checkpoint of this stage."""
        return time.monotonic() - self._last_save

    def saved(self) -> None:
        """Note that a checkpoint was written just now."""
        self._last_save = time.monotonic()
