"""The folders of the cross-protocol benchmark: two annotation protocols of 68 points, real or drawn."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.toy_faces import write_folder
from lmdeploy.atomic import write_file
from lmdeploy.dataset import Sample, read_labelled, read_list, select
from lmdeploy.schema import load_schema
from lmdeploy.types import F32
from training.data.crops import labels_csv

SHIFT = 0.04  # of the face's width: how far the drawn second protocol marks the jaw lower


@dataclass(frozen=True, slots=True)
class Case:
    """ours: the protocol that is tested. theirs: the other one. pooled: both under one schema. test: of ours."""

    name: str
    seed: int
    ours: Path
    theirs: Path
    pooled: Path
    test: Path
    out: Path


def real(shared: Path, out: Path, labels: str, seed: int) -> Case:
    """`labels` training images of faces68_300w (or all), and all labelled ones of faces68."""
    faces, theirs, schema = shared / "faces68_300w", shared / "faces68" / "train", load_schema("ibug68")
    samples = read_labelled(faces / "train", schema)
    if labels != "all":
        samples = select(samples, read_list(faces / "splits" / f"labelled_{labels}.txt"))
    ours = write(out / "data" / f"ours-{labels}", {"": samples})
    both = {"ours-": samples, "theirs-": read_labelled(theirs, schema)}
    pooled = write(out / "data" / f"pooled-{labels}", both)
    return Case(f"{labels}/{seed}", seed, ours, theirs, pooled, faces / "test_public", out / labels / str(seed))


def drawn(out: Path) -> Case:
    """16 faces of one protocol and 48 of another, which marks the jaw lower."""
    schema = load_schema("ibug68")
    ours, theirs = write_folder(out / "ours", 16, seed=1), write_folder(out / "theirs", 48, seed=2)
    samples = read_labelled(theirs, schema)
    points = np.stack([lower_jaw(sample.points) for sample in samples if sample.points is not None])
    write_file(theirs / "landmarks.csv", labels_csv(tuple(sample.name for sample in samples), points).encode())
    both = {"": read_labelled(ours, schema), "theirs-": read_labelled(theirs, schema)}
    test = write_folder(out / "test", 24, seed=4)
    return Case("16/1234", 1234, ours, theirs, write(out / "pooled", both), test, out / "runs")


def lower_jaw(points: F32) -> F32:
    """f32[68,2] image px, the jaw's 17 points moved down."""
    moved = points.copy()
    moved[:17, 1] += SHIFT * np.ptp(points[:, 0])
    return moved


def write(folder: Path, groups: dict[str, list[Sample]]) -> Path:
    """A data folder of all samples, their names behind their group's; one that is complete is kept."""
    if (folder / "landmarks.csv").is_file():
        return folder
    (folder / "images").mkdir(parents=True, exist_ok=True)
    pairs = [(f"{group}{sample.name}", sample) for group, samples in groups.items() for sample in samples]
    for name, sample in pairs:
        shutil.copyfile(sample.path, folder / "images" / name)
    points = np.stack([sample.points for _, sample in pairs if sample.points is not None])
    write_file(folder / "landmarks.csv", labels_csv(tuple(name for name, _ in pairs), points).encode())
    return folder
