"""Results of benchmarks as schema-checked JSON with everything that is needed to judge them.

A figure is a bare number. Lists of numbers that it was computed from belong into `details`.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from lmdeploy.benchmark.machine import PACKAGES as OF_RUNTIME
from lmdeploy.benchmark.machine import Machine, this_machine
from lmdeploy.bundle import write_synced
from lmdeploy.installed import installed_versions

RESULTS = Path(__file__).parent / "results"
PACKAGES = (*OF_RUNTIME, "av", "torch", "timm")


class Record(BaseModel):
    """One run of one benchmark."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    time: str
    machine: Machine
    cpu: str
    versions: dict[str, str]
    commit: str = Field(pattern=r"^[0-9a-f]{7,40}(\+changes)?$|^unknown$")
    seeds: tuple[int, ...]
    figures: dict[str, float]
    details: dict[str, Any]

    @field_validator("figures")
    @classmethod
    def _bare_numbers(cls, figures: dict[str, float]) -> dict[str, float]:
        wrong = [name for name, value in figures.items() if not math.isfinite(value)]
        if wrong or not figures:
            raise ValueError(f"figures must be finite and at least one; wrong: {wrong}")
        return figures


def write_result(
    name: str, figures: dict[str, float], details: dict[str, Any], seeds: list[int], folder: Path = RESULTS
) -> Path:
    """Write benchmarks/results/NAME--YYYYMMDD-HHMM--MACHINE.json and return its path; never replaces a file."""
    now = datetime.now(UTC)
    machine = this_machine()
    record = Record(
        name=name,
        time=now.isoformat(timespec="seconds"),
        machine=machine,
        cpu=machine.cpu,
        versions=installed_versions(PACKAGES),
        commit=current_commit(),
        seeds=tuple(seeds),
        figures=figures,
        details=details,
    )
    path = folder / f"{name}--{now:%Y%m%d-%H%M}--{machine.label}.json"
    if path.exists():
        raise FileExistsError(f"{path} exists already: results are kept, wait a minute")
    folder.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    text = json.dumps(record.model_dump(mode="json"), indent=1, sort_keys=True, allow_nan=False)
    write_synced(draft, f"{text}\n".encode())
    draft.replace(path)
    return path


def read_result(path: Path) -> Record:
    """Read and check a result; pydantic's ValidationError says what is wrong with it."""
    return Record.model_validate_json(path.read_text(encoding="utf-8"))


def print_figures(figures: dict[str, float]) -> None:
    """The closing lines of every benchmark: `figure: name=value`."""
    for name, value in figures.items():
        sys.stdout.write(f"figure: {name}={value:.6g}\n")
    sys.stdout.flush()


def current_commit() -> str:
    """The checkout's commit, with `+changes` where tracked files differ; `unknown` outside a checkout."""
    root = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
