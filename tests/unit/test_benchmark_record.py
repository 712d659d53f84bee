"""Benchmark records: complete, checked, never overwritten, without the host's name."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError

from benchmarks import record
from benchmarks.record import Record, print_figures, read_result, this_machine, write_result


def test_written_record_reads_back_with_everything(tmp_path: Path) -> None:
    path = write_result("latency", {"overhead": 1.05}, {"pairs": [1.0, 1.1]}, [3, 4], tmp_path)
    found = read_result(path)
    assert (found.name, found.figures, found.details, found.seeds) == (
        "latency", {"overhead": 1.05}, {"pairs": [1.0, 1.1]}, (3, 4),
    )  # fmt: skip
    assert found.cpu == found.machine.cpu
    assert found.versions["numpy"].count(".") >= 1
    assert path.name == f"latency--{found.time[:10].replace('-', '')}-{path.name[18:22]}--{found.machine.label}.json"
    assert list(tmp_path.iterdir()) == [path]


def test_commit_is_the_checkouts(tmp_path: Path) -> None:
    wanted = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    ).stdout.strip()
    found = read_result(write_result("x", {"a": 1}, {}, [], tmp_path)).commit
    assert found.removesuffix("+changes") == (wanted or "unknown")


def test_outside_a_checkout_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "none"))
    assert record.current_commit() == "unknown"


def test_second_result_of_a_minute_does_not_replace_the_first(tmp_path: Path) -> None:
    write_result("x", {"a": 1}, {}, [], tmp_path)
    first = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    try:
        write_result("x", {"a": 2}, {}, [], tmp_path)
    except FileExistsError:
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == first
    else:  # the clock's minute changed in between
        assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "figures"),
    [("x", {"a": float("nan")}), ("x", {}), ("x", {"a": "fast"}), ("../x", {"a": 1.0})],
)
def test_what_is_no_figure_is_refused_and_nothing_is_written(
    tmp_path: Path, name: str, figures: dict[str, float]
) -> None:
    with pytest.raises(ValidationError):
        write_result(name, figures, {}, [], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_reader_refuses_a_foreign_file(tmp_path: Path) -> None:
    path = write_result("x", {"a": 1}, {}, [], tmp_path)
    value = json.loads(path.read_text())
    for change in ({"commit": "yesterday"}, {"extra": 1}):
        path.write_text(json.dumps({**value, **change}))
        with pytest.raises(ValidationError):
            read_result(path)


def test_host_name_stays_out(tmp_path: Path) -> None:
    host = socket.gethostname().lower()
    if len(host) < 4:
        pytest.skip("the host has too short a name to look for")
    assert host not in write_result("x", {"a": 1}, {}, [], tmp_path).read_text().lower()
    assert this_machine().label.endswith(f"{this_machine().cores}c")


def test_figures_are_printed_as_bare_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    print_figures({"overhead": 1.0478123, "face68_ms": 2.5})
    assert capsys.readouterr().out == "figure: overhead=1.04781\nfigure: face68_ms=2.5\n"


def test_committed_results_keep_the_schema() -> None:
    """Also those of other scripts; the schema is the contract that readers of the results rely on."""
    for path in record.RESULTS.glob("*.json"):
        assert isinstance(read_result(path), Record), path
