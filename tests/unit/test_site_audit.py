"""The log: whatever is changed is noticed, whatever a kill leaves is mended."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmdeploy.site import audit
from lmdeploy.site.audit import HEAD, LOG, AuditError, append, read_log


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for number in range(4):
        append(tmp_path, "event", {"number": number, "text": "ü"}, key=f"k{number}")
    return tmp_path


def test_events_come_back_in_order(site: Path) -> None:
    records = read_log(site)
    assert [r.data["number"] for r in records] == [0, 1, 2, 3]
    assert [r.n for r in records] == [0, 1, 2, 3]
    assert records[2].before == records[1].hash
    assert read_log(site.parent / "nothing here") == []


def test_key_is_written_once(site: Path) -> None:
    append(site, "event", {"number": 99}, key="k2")
    append(site, "free", {}, key=None)
    append(site, "free", {}, key=None)
    assert [r.event for r in read_log(site)] == ["event"] * 4 + ["free"] * 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(where=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_any_changed_byte_is_noticed(site: Path, where: float, change: int) -> None:
    good = (site / LOG).read_bytes()
    position = int(where * len(good))
    (site / LOG).write_bytes(good[:position] + bytes([good[position] ^ change]) + good[position + 1 :])
    try:
        with pytest.raises(AuditError):
            read_log(site)
    finally:
        (site / LOG).write_bytes(good)


def test_any_changed_byte_of_the_head_is_noticed(site: Path) -> None:
    good = (site / HEAD).read_bytes()
    for position in range(len(good)):
        (site / HEAD).write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        with pytest.raises(AuditError):
            read_log(site)


def test_any_truncation_is_noticed(site: Path) -> None:
    good = (site / LOG).read_bytes()
    ends = [at for at, byte in enumerate(good) if byte == ord("\n")]
    near = {max(end + step, 0) for end in ends for step in (-2, -1, 0, 1, 2)} - {len(good)}
    for length in sorted(near | set(range(0, len(good), 11))):
        if length > len(good):
            continue
        (site / LOG).write_bytes(good[:length])
        with pytest.raises(AuditError):
            read_log(site)


@pytest.mark.parametrize(
    "order", [[1, 0, 2, 3], [0, 2, 1, 3], [0, 1, 3], [0, 1, 2, 3, 3], [1, 2, 3], [0, 0, 1, 2, 3], []]
)
def test_lost_added_and_moved_lines_are_noticed(site: Path, order: list[int]) -> None:
    lines = (site / LOG).read_bytes().splitlines(keepends=True)
    (site / LOG).write_bytes(b"".join(lines[n] for n in order))
    with pytest.raises(AuditError):
        read_log(site)


def test_altered_event_with_a_new_hash_is_noticed(site: Path) -> None:
    lines = (site / LOG).read_bytes().splitlines(keepends=True)
    record = json.loads(lines[1])
    record["data"]["number"] = 7
    body = {k: v for k, v in record.items() if k != "hash"}
    lines[1] = audit._line({**body, "hash": audit._hash(body)})
    (site / LOG).write_bytes(b"".join(lines))
    with pytest.raises(AuditError, match="line 3"):
        read_log(site)


def test_missing_head_is_noticed(site: Path) -> None:
    (site / HEAD).unlink()
    with pytest.raises(AuditError):
        read_log(site)


def test_torn_last_line_is_cut_off_by_the_next_event(site: Path) -> None:
    torn = (site / LOG).read_bytes().splitlines(keepends=True)[-1][:40]
    with (site / LOG).open("ab") as stream:
        stream.write(torn)
    assert len(read_log(site)) == 4
    append(site, "next", {})
    assert [r.event for r in read_log(site)] == ["event"] * 4 + ["next"]


def test_kill_between_line_and_head_is_mended(site: Path) -> None:
    head = (site / HEAD).read_bytes()
    append(site, "fifth", {}, key="fifth")
    (site / HEAD).write_bytes(head)
    (site / f".{HEAD}.99.part").write_text("left by a kill")
    assert len(read_log(site)) == 5
    append(site, "fifth", {}, key="fifth")
    append(site, "sixth", {})
    assert [r.event for r in read_log(site)][4:] == ["fifth", "sixth"]
    assert not list(site.glob(".*.part"))


def test_kill_during_the_first_event_is_mended(tmp_path: Path) -> None:
    append(tmp_path, "first", {}, key="first")
    line = (tmp_path / LOG).read_bytes()
    (tmp_path / HEAD).unlink()
    append(tmp_path, "first", {}, key="first")
    assert (tmp_path / LOG).read_bytes() == line
    (tmp_path / HEAD).unlink()
    (tmp_path / LOG).write_bytes(line[:10])
    append(tmp_path, "first", {})
    assert [r.n for r in read_log(tmp_path)] == [0]


def test_line_is_on_the_disk_before_the_head_names_it(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def fsync(handle: int) -> None:
        done.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        sync(handle)

    def replaced(source: str, target: Path) -> None:
        done.append(f"replace {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replaced)
    append(site, "next", {})
    assert done.index(LOG) < done.index(f"replace {HEAD}")
    assert done[-1] == site.name  # the folder, so that the rename is kept


def test_times_are_utc_and_for_people(site: Path) -> None:
    times = {r.time for r in read_log(site)}
    assert all(time.endswith("+00:00") for time in times)
