"""2,400 broken bundles, opened in a process of their own: each runs or is refused in a sentence, none does harm."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from lmdeploy.backends.ort import OrtBackend
from lmdeploy.bundle import ModelSpec, canonical_json, write_bundle
from lmdeploy.geometry import CropRule
from tests.conv_graph import conv_onnx
from tests.mutants import mutant
from tests.tiny_bundle import BLOBS3, mixing, tiny_onnx

MUTANTS = 2400
PEAK_MB = 300  # measured 105
ROOT = Path(__file__).parents[2]


def make_bases(folder: Path) -> Path:
    """Two bundles with all the files of a real one, and the spec by itself for those who change it."""
    spec = ModelSpec(name="tiny", landmarks=BLOBS3, crop=CropRule(size=32), codec="subpixel", method="fixture")
    about = {"lmdeploy": spec.model_dump_json(), "lmdeploy_schema_version": "1"}
    for name, graph in {"blobs": with_metadata(tiny_onnx(32, mixing(3)), about), "conv": conv_onnx(32, about)}.items():
        crops = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
        saved = io.BytesIO()
        np.savez_compressed(saved, crops=crops, points=OrtBackend(graph, threads=1).run(crops).points)
        files = {"model.onnx": graph, "reference.npz": saved.getvalue(), "card.md": b"# tiny\n"}
        bundle = write_bundle(folder / name, spec, files)
        (bundle.path / "spec.json").write_text(canonical_json(spec), encoding="utf-8")
    return folder


def with_metadata(graph: bytes, about: dict[str, str]) -> bytes:
    """The same graph with a description of itself."""
    model = onnx.load_from_string(graph)
    onnx.helper.set_model_props(model, about)
    return bytes(model.SerializeToString())


def run_all(base: Path, work: Path, start: int, stop: int) -> list[dict[str, Any]]:
    """One line per mutant; a process that dies is answered with a line, and followed by another process."""
    lines: list[dict[str, Any]] = []
    while start < stop:
        command = [sys.executable, "-m", "tests.faults.bundle_driver", str(base), str(work), str(start), str(stop)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
        lines += [json.loads(line) for line in done.stdout.splitlines()]
        start = lines[-1]["number"] + 1 if lines else start
        if done.returncode:
            about = f"exit {done.returncode}: {done.stderr[-300:]}"
            lines.append({"number": start, "kind": "", "outcome": "died", "message": about, "peak_mb": 0})
            start += 1
    return lines


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "work").mkdir()
    return run_all(make_bases(folder / "base"), folder / "work", 0, MUTANTS)


def test_every_mutant_runs_or_is_refused_in_one_sentence(lines: list[dict[str, Any]]) -> None:
    assert [line["number"] for line in lines] == list(range(MUTANTS))
    assert [line for line in lines if line["outcome"] not in ("ran", "refused")] == []


def test_mutants_are_the_same_for_ever(tmp_path: Path) -> None:
    (base, _) = ({f.name: f.read_bytes() for f in d.iterdir()} for d in sorted(make_bases(tmp_path).iterdir()))
    assert [mutant(base, n) for n in range(60)] == [mutant(base, n) for n in range(60)]


def test_memory_stays_where_it_was(lines: list[dict[str, Any]]) -> None:
    assert max(line["peak_mb"] for line in lines) < PEAK_MB


def test_mutants_reach_all_that_can_refuse(lines: list[dict[str, Any]]) -> None:
    """A fuzz that only meets the hash check would pass for nothing."""
    outcomes = Counter((line["kind"], line["outcome"]) for line in lines)
    for kind in ("json-value", "npz", "onnx-bytes", "onnx-field", "alone"):
        assert outcomes[kind, "ran"] > 2, kind
        assert outcomes[kind, "refused"] > 20, kind
    said = "\n".join(line["message"] for line in lines)
    for reason in ("sha256", "truncated", "not valid JSON", "schema version", "is no ONNX file", "is refused",
                   "cannot be loaded", "does not run", "twice", "reference.npz cannot be read"):  # fmt: skip
        assert reason in said, reason
