"""The append-only log of a site: one JSON record a line, each holding the hash of the record before it.

    audit.ndjson   {"n", "time", "event", "key", "data", "before", "hash"}; hash = sha256 of the rest
    audit.head     {"n", "hash"} of the newest record, so that a log cut short is noticed

A changed byte, a lost, added or moved line breaks the chain. After a kill the log may be at most one record ahead
of its head, or end in a torn line beyond it: the next `append` mends both. Without a key this shows accidents and
clumsy hands, not someone who computes the whole chain anew. The log holds counts and hashes, no pixels and no names.
"""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from lmdeploy.errors import LmdeployError
from lmdeploy.site.durable import replace_json
from lmdeploy.site.lock import writer

LOG, HEAD = "audit.ndjson", "audit.head"
START = "0" * 64


class AuditError(LmdeployError):
    """The log is not what was written: altered, cut short or put in another order."""


class Record(BaseModel):
    """One event. `key` names events that must not be written twice; `time` is for people, nothing depends on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int
    time: str
    event: str
    key: str | None
    data: dict[str, Any]
    before: str
    hash: str


def append(site: Path, event: str, data: dict[str, Any], *, key: str | None = None) -> None:
    """Add an event and flush it; one whose `key` the log already holds is not added again."""
    with writer(site, "audit", wait_s=30.0):
        records = _mended(site)
        if key is not None and any(r.key == key for r in records):
            return
        before = records[-1].hash if records else START
        now = datetime.now(UTC).isoformat(timespec="seconds")
        body = {"n": len(records), "time": now, "event": event, "key": key, "data": data, "before": before}
        record = {**body, "hash": _hash(body)}
        with (site / LOG).open("ab") as stream:
            stream.write(_line(record))
            stream.flush()
            os.fsync(stream.fileno())
        _write_head(site, record)


def read_log(site: Path) -> list[Record]:
    """All events after checking the chain and the head; AuditError says where it breaks. Changes nothing."""
    records, torn = _parse(site)
    head = _read_head(site)
    _check_head(site, records, head)
    if torn and len(records) != (head["n"] + 1 if head else 0):
        raise AuditError(f"{site / LOG}: line {len(records) + 1} is damaged; restore the log from a copy")
    return records


def _mended(site: Path) -> list[Record]:
    """The events, after cutting a torn last line and bringing the head up to the log."""
    for draft in site.glob(f".{HEAD}.*.part"):
        draft.unlink()
    records = read_log(site)
    head = _read_head(site)
    whole = b"".join(_line(r.model_dump()) for r in records)
    log = site / LOG
    if log.exists() and log.stat().st_size > len(whole):
        with log.open("r+b") as stream:
            stream.truncate(len(whole))
            os.fsync(stream.fileno())
    if records and (head is None or head["n"] < records[-1].n):
        _write_head(site, records[-1].model_dump())
    return records


def _parse(site: Path) -> tuple[list[Record], bool]:
    """The whole records, and whether a torn line follows them."""
    path = site / LOG
    raw = path.read_bytes() if path.exists() else b""
    lines = raw.split(b"\n")
    records: list[Record] = []
    before = START
    for number, line in enumerate(lines[:-1]):
        try:
            record = Record.model_validate_json(line)
        except ValidationError as error:
            raise AuditError(f"{path}: line {number + 1} is damaged; restore the log from a copy") from error
        body = record.model_dump(exclude={"hash"})
        good = record.n == number and record.before == before and record.hash == _hash(body)
        if not good or line + b"\n" != _line(record.model_dump()):
            raise AuditError(f"{path}: line {number + 1} is altered, missing or moved; restore the log from a copy")
        records.append(record)
        before = record.hash
    return records, lines[-1] != b""


def _check_head(site: Path, records: list[Record], head: dict[str, Any] | None) -> None:
    ahead = len(records) - (head["n"] + 1 if head else 0)
    if ahead < 0:
        raise AuditError(f"{site / LOG}: {-ahead} records are missing at the end; restore the log from a copy")
    if ahead > 1:
        raise AuditError(f"{site / HEAD}: {ahead} records behind the log; restore both from a copy")
    if head and records[head["n"]].hash != head["hash"]:
        raise AuditError(f"{site / HEAD}: does not match record {head['n']} of the log; restore both from a copy")


def _read_head(site: Path) -> dict[str, Any] | None:
    path = site / HEAD
    if not path.exists():
        return None
    try:
        head = json.loads(path.read_bytes())
        if path.read_bytes() != (json.dumps(head, sort_keys=True, ensure_ascii=False, indent=1) + "\n").encode():
            raise ValueError("not as written")
        return {"n": int(head["n"]), "hash": str(head["hash"])}
    except (ValueError, TypeError, KeyError) as error:
        raise AuditError(f"{path}: damaged ({error}); restore it and {LOG} from a copy") from error


def _write_head(site: Path, record: dict[str, Any]) -> None:
    replace_json(site / HEAD, {"n": record["n"], "hash": record["hash"]})


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _hash(body: dict[str, Any]) -> str:
    return hashlib.sha256(_line(body)).hexdigest()
