"""The store: a row always has its file, inserting twice changes nothing, the quota holds."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from lmdeploy.errors import InputError
from lmdeploy.site import store as module
from lmdeploy.site.store import FrameStore, Residual, StoredFrame, free_mb
from lmdeploy.types import Box


def make(number: int, size: int = 100, novelty: int = 64) -> tuple[bytes, StoredFrame]:
    content = f"{number:04d}".encode().ljust(size, b".")
    points = np.array([[1.25, 2.5], [3.125, 4.0]], np.float32)
    mark = 2**63 + number
    row = StoredFrame(
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=size,
        source="camera 'ü'",
        frame=number,
        time_ms=None if number % 2 else 40.0 * number,
        collected="2026-01-01T00:00:00+00:00",
        model="0" * 64,
        score=0.5,
        fingerprint=mark,
        novelty=novelty,
        box=Box(1.5, 2.5, 30.25, 40.0),
        points=points,
    )
    return content, row


def test_frames_come_back_as_stored(tmp_path: Path) -> None:
    with FrameStore(tmp_path) as store:
        for number in range(3):
            assert store.insert(*make(number))
    with FrameStore(tmp_path) as store:
        found = store.kept()
        for number, frame in enumerate(found):
            content, wanted = make(number)
            assert store.path(frame.sha256).read_bytes() == content
            np.testing.assert_array_equal(frame.points, wanted.points)
            for name in (
                "sha256",
                "bytes",
                "source",
                "frame",
                "time_ms",
                "model",
                "score",
                "fingerprint",
                "novelty",
                "box",
            ):
                assert getattr(frame, name) == getattr(wanted, name)
        assert store.fingerprints().tolist() == [2**63 + n for n in range(3)]
        assert store.counts() == (3, 0, 300)
        assert store.problems() == []


def test_inserting_twice_changes_nothing(tmp_path: Path) -> None:
    with FrameStore(tmp_path) as store:
        assert store.insert(*make(1))
        assert not store.insert(*make(1))
        assert store.counts() == (1, 0, 100)


def test_file_is_on_the_disk_before_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("killed here")

    with FrameStore(tmp_path) as store:
        monkeypatch.setattr(module, "write_file", fail)
        with pytest.raises(RuntimeError):
            store.insert(*make(1))
        assert store.counts() == (0, 0, 0)


def test_least_novel_goes_first_then_the_oldest(tmp_path: Path) -> None:
    with FrameStore(tmp_path) as store:
        for number, novelty in enumerate([30, 8, 8, 64, 20]):
            store.insert(*make(number, novelty=novelty))
        assert store.evict(500) == 0
        assert store.evict(320) == 2
        assert [f.frame for f in store.kept()] == [0, 3, 4]
        assert store.counts() == (3, 2, 300)
        assert len(list(store.folder.rglob("*.jpg"))) == 3


def test_evicted_frames_are_remembered(tmp_path: Path) -> None:
    with FrameStore(tmp_path) as store:
        store.insert(*make(1))
        store.evict(0)
        assert store.has(make(1)[1].sha256)
        assert not store.insert(*make(1))
        assert len(store.fingerprints()) == 1


def test_rows_of_evicted_frames_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROWS_EVICTED", 3)
    with FrameStore(tmp_path) as store:
        for number in range(10):
            store.insert(*make(number))
        store.evict(200)
        assert store.counts() == (2, 3, 200)
        assert [f.frame for f in store.kept()] == [8, 9]


def test_what_a_kill_leaves_is_cleaned(tmp_path: Path) -> None:
    with FrameStore(tmp_path) as store:
        store.insert(*make(1))
        folder = store.path(make(1)[1].sha256).parent
        (folder / f"{'a' * 64}.jpg").write_bytes(b"a file without a row")
        (folder / ".x.jpg.77.part").write_bytes(b"half")
        (folder / "note.txt").write_bytes(b"not ours")
        assert store.clean() == 2
        assert store.clean() == 0
        assert len(list(folder.iterdir())) == 2
        assert store.problems() == []


def test_missing_and_altered_pictures_are_named(tmp_path: Path) -> None:
    with FrameStore(tmp_path) as store:
        paths = []
        for number in range(3):
            store.insert(*make(number))
            paths.append(store.path(make(number)[1].sha256))
        paths[0].unlink()
        paths[1].write_bytes(b"x" * 100)
        told = store.problems()
    assert [line.rpartition(": ")[2] for line in told] == ["missing", "altered"]
    assert paths[0].name in told[0]


def test_newer_store_is_refused(tmp_path: Path) -> None:
    FrameStore(tmp_path).close()
    with sqlite3.connect(tmp_path / "frames" / "store.sqlite") as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(InputError, match="version 99"):
        FrameStore(tmp_path)


def test_store_is_in_wal_mode_and_readable_while_written(tmp_path: Path) -> None:
    with FrameStore(tmp_path) as store, FrameStore(tmp_path) as reader:
        store.insert(*make(1))
        assert reader.counts() == (1, 0, 100)
        assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_free_space_is_in_megabytes(tmp_path: Path) -> None:
    import os

    state = os.statvfs(tmp_path)
    assert free_mb(tmp_path) == pytest.approx(state.f_bavail * state.f_frsize / 1e6, rel=0.05)


def test_first_residual_of_a_frame_stands_and_those_of_forgotten_frames_go(tmp_path: Path) -> None:
    with FrameStore(tmp_path) as store:
        names = []
        for number in range(3):
            content, row = make(number)
            store.insert(content, row)
            names.append(row.sha256)
        assert store.residuals() == {}  # of a store that never had any, too
        store.add_residuals({names[0]: Residual(0.5, "a"), names[1]: Residual(100.0, "a")})
        store.add_residuals({names[1]: Residual(2.0, "b"), names[2]: Residual(1.25, "b")})
        wanted = {names[0]: Residual(0.5, "a"), names[1]: Residual(100.0, "a"), names[2]: Residual(1.25, "b")}
        assert store.residuals() == wanted
        store._db.execute("DELETE FROM frames WHERE sha256=?", (names[0],))
        store.add_residuals({names[2]: Residual(9.0, "b")})
    with FrameStore(tmp_path) as store:
        assert store.residuals() == {name: wanted[name] for name in names[1:]}
