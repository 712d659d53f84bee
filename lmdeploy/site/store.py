"""The frames of a site: SQLite rows beside files named by the hash of their content.

A file is written, flushed and renamed before its row is committed, so a row always has its file; a file without a row
is what a kill left, and the next collector removes it. Evicted frames keep their row (not their pixels), so that the
same picture is not collected again and the lineage of a model stays complete.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from lmdeploy.atomic import write_file
from lmdeploy.bundle import sync_folder
from lmdeploy.errors import InputError
from lmdeploy.site.durable import sweep
from lmdeploy.site.fingerprint import U64
from lmdeploy.types import F32, Box

FOLDER, DATABASE = "frames", "store.sqlite"
VERSION = 1
MAX_ROWS_EVICTED = 100_000  # older ones are forgotten, so that the database stays bounded
COLUMNS = (
    "sha256, bytes, source, frame, time_ms, collected, model, score, fingerprint, novelty, x0, y0, x1, y1, points"
)
TABLE = f"""CREATE TABLE IF NOT EXISTS frames(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kept INTEGER NOT NULL DEFAULT 1,
    {COLUMNS.replace("sha256", "sha256 UNIQUE")})"""
# A table of its own, so that stores without it stay readable both ways; `refresh` writes it, collectors do not.
RESIDUALS = "CREATE TABLE IF NOT EXISTS residuals(sha256 PRIMARY KEY, percent, model)"


class Residual(NamedTuple):
    """ELT residual of a frame, per cent of the crop's side, and the digest of the model that it is of."""

    percent: float
    model: str


@dataclass(frozen=True, slots=True, eq=False)
class StoredFrame:
    """One object in one frame.

    sha256: of the stored JPEG. bytes: its size. source, frame, time_ms: where it is from. collected: UTC, for people.
    model: digest of the champion that found it. score: mean of its points' scores. fingerprint: 64 bits. novelty: bits
    by which the fingerprint differed from the nearest one stored before. box: the landmark box, points: f32[K,2], both
    in px of the stored picture.
    """

    sha256: str
    bytes: int
    source: str
    frame: int
    time_ms: float | None
    collected: str
    model: str
    score: float
    fingerprint: int
    novelty: int
    box: Box
    points: F32


class FrameStore:
    """An open store; one writer at a time (site.lock), any number of readers."""

    def __init__(self, site: Path) -> None:
        """Open, and make the table when it is not there. InputError for a store of a newer lmdeploy."""
        self.folder = site / FOLDER
        self.folder.mkdir(exist_ok=True)
        self._db = sqlite3.connect(self.folder / DATABASE, timeout=30.0, isolation_level=None)
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            self._db.close()
            raise InputError(f"{self.folder / DATABASE}: version {version}, this lmdeploy reads {VERSION}: update it")
        self._db.execute("PRAGMA synchronous=FULL")
        if version == 0:  # a reader of a store that is there already writes nothing
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute(TABLE)
            self._db.execute(f"PRAGMA user_version={VERSION}")

    def path(self, sha256: str) -> Path:
        """Where the picture of that hash lies."""
        return self.folder / sha256[:2] / f"{sha256}.jpg"

    def insert(self, jpeg: bytes, frame: StoredFrame) -> bool:
        """Store a picture and its row; False when the store has ever held it. `frame.sha256` names the bytes."""
        if self.has(frame.sha256):
            return False
        path = self.path(frame.sha256)
        if not path.parent.is_dir():
            path.parent.mkdir()
            sync_folder(self.folder)
        write_file(path, jpeg)
        self._db.execute(f"INSERT INTO frames({COLUMNS}) VALUES({','.join('?' * 15)})", _to_row(frame))
        return True

    def has(self, sha256: str) -> bool:
        """Whether the picture is or was stored."""
        return self._db.execute("SELECT 1 FROM frames WHERE sha256=?", (sha256,)).fetchone() is not None

    def kept(self) -> list[StoredFrame]:
        """Frames with pixels, in the order they came."""
        return [_of_row(row) for row in self._db.execute(f"SELECT {COLUMNS} FROM frames WHERE kept ORDER BY id")]

    def fingerprints(self) -> U64:
        """u64[N] of all frames ever stored (evicted ones too, so that their like is not collected again)."""
        return np.array(
            [int(r[0], 16) for r in self._db.execute("SELECT fingerprint FROM frames ORDER BY id")], np.uint64
        )

    def residuals(self) -> dict[str, Residual]:
        """What was measured so far, by sha256 of the frame."""
        if self._db.execute("SELECT 1 FROM sqlite_master WHERE name='residuals'").fetchone() is None:
            return {}
        rows = self._db.execute("SELECT sha256, percent, model FROM residuals")
        return {sha256: Residual(percent, model) for sha256, percent, model in rows}

    def add_residuals(self, measured: Mapping[str, Residual]) -> None:
        """Store the residuals of some frames, all or none; the first of a frame stands. Forgotten frames' go."""
        self._db.execute(RESIDUALS)
        rows = [value for sha256, residual in measured.items() for value in (sha256, *residual)]
        places = ",".join(["(?,?,?)"] * len(measured))
        self._db.execute(f"INSERT OR IGNORE INTO residuals VALUES {places}", rows)
        self._db.execute("DELETE FROM residuals WHERE sha256 NOT IN (SELECT sha256 FROM frames)")

    def counts(self) -> tuple[int, int, int]:
        """(kept frames, evicted frames, bytes of the kept ones)."""
        row = self._db.execute("SELECT SUM(kept), SUM(1-kept), SUM(kept*bytes) FROM frames").fetchone()
        return int(row[0] or 0), int(row[1] or 0), int(row[2] or 0)

    def evict(self, limit_bytes: float) -> int:
        """Drop pictures until all together fit: the least novel first, of equal ones the oldest; returns how many."""
        over = self.counts()[2] - limit_bytes
        if over <= 0:
            return 0
        victims = []
        for sha, size in self._db.execute("SELECT sha256, bytes FROM frames WHERE kept ORDER BY novelty, id"):
            if over <= 0:
                break
            victims.append(sha)
            over -= size
        for sha in victims:  # the row first: a kill in between leaves a file without a row, which is swept
            self._db.execute("UPDATE frames SET kept=0 WHERE sha256=?", (sha,))
            self.path(sha).unlink(missing_ok=True)
        excess = "SELECT id FROM frames WHERE NOT kept ORDER BY id DESC LIMIT -1 OFFSET ?"
        self._db.execute(f"DELETE FROM frames WHERE id IN ({excess})", (MAX_ROWS_EVICTED,))
        return len(victims)

    def clean(self) -> int:
        """Remove pictures without a kept row and half-written files; returns how many. For the writer only."""
        wanted = {row[0] for row in self._db.execute("SELECT sha256 FROM frames WHERE kept")}
        removed = 0
        for folder in (p for p in self.folder.iterdir() if p.is_dir()):
            removed += sweep(folder)
            for file in folder.glob("*.jpg"):
                if file.stem not in wanted:
                    file.unlink()
                    removed += 1
        return removed

    def problems(self) -> list[str]:
        """One line for each kept frame whose picture is missing or altered, and for a damaged database."""
        told = [str(row[0]) for row in self._db.execute("PRAGMA quick_check") if row[0] != "ok"]
        for frame in self.kept():
            path = self.path(frame.sha256)
            if not path.is_file():
                told.append(f"{path}: missing")
            elif hashlib.sha256(path.read_bytes()).hexdigest() != frame.sha256:
                told.append(f"{path}: altered")
        return told

    def close(self) -> None:
        """Close the database; a second call does nothing."""
        self._db.close()

    def __enter__(self) -> FrameStore:
        """The store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


def free_mb(folder: Path) -> float:
    """Free space of the disk that holds the folder, MB."""
    return shutil.disk_usage(folder).free / 1e6


def _to_row(frame: StoredFrame) -> tuple[object, ...]:
    box, points = frame.box, json.dumps(np.asarray(frame.points, np.float64).round(3).tolist())
    about = (frame.sha256, frame.bytes, frame.source, frame.frame, frame.time_ms, frame.collected, frame.model)
    return (*about, frame.score, f"{frame.fingerprint:016x}", frame.novelty, box.x0, box.y0, box.x1, box.y1, points)


def _of_row(row: tuple[Any, ...]) -> StoredFrame:
    sha256, size, source, frame, time_ms, collected, model, score, fingerprint, novelty, *box, points = row
    return StoredFrame(
        sha256=sha256,
        bytes=size,
        source=source,
        frame=frame,
        time_ms=time_ms,
        collected=collected,
        model=model,
        score=score,
        fingerprint=int(fingerprint, 16),
        novelty=novelty,
        box=Box(*box),
        points=np.array(json.loads(points), np.float32),
    )
