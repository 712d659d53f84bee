"""A finished or running training as the analyses see it: what a run folder holds, read on demand."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lmdeploy.bundle import ModelSpec
from lmdeploy.csv_table import read_table
from lmdeploy.errors import InputError
from lmdeploy.evaluate import Evaluation
from lmdeploy.metrics import normaliser_of
from lmdeploy.schema import Normaliser
from lmdeploy.types import F32, F64
from training.data import published
from training.engine import checkpoint
from training.models import NetworkConfig

ROUND = re.compile(r"round(\d+)")


class MissingError(InputError):
    """A figure cannot be made of these runs; the message says what they lack."""


@dataclass(frozen=True, slots=True)
class Labels:
    """One saved set of pseudo-labels: names, points f32[N,K,2] (image px), score f64[N] where the run kept it."""

    names: tuple[str, ...]
    points: F32
    score: F64 | None


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder. name: what figures call it. spec, network: of its checkpoints."""

    folder: Path
    name: str
    spec: ModelSpec
    network: NetworkConfig

    @property
    def options(self) -> dict[str, Any]:
        """The method's options as trained, defaults not filled in."""
        return dict(self.spec.recipe.get("options", {}))

    @property
    def data(self) -> published.Data | None:
        """The published set that the recipe names, if it names one."""
        value = self.spec.recipe.get("data")
        return published.Data.model_validate(value) if value else None

    @property
    def frame(self) -> str:
        """`crop` or `image`: the frame of the run's figures."""
        return self.data.frame if self.data else "image"

    @property
    def normaliser(self) -> Normaliser:
        """What the run's figures are divided by."""
        return normaliser_of(self.spec.landmarks, self.data.normaliser if self.data else None)

    @property
    def unit(self) -> str:
        """`% of normaliser (frame)`, for axes."""
        return f"% of {self.normaliser.name} ({self.frame} frame)"

    @property
    def model(self) -> str:
        """Kind of network and backbone, e.g. `HM resnet18`."""
        kinds = {"heatmap": "HM", "transformer": "TF"}
        kind = str(self.network.kind)
        return f"{kinds.get(kind, kind)} {getattr(self.network, 'backbone', '')}".rstrip()

    @property
    def labelled_images(self) -> int:
        """Number of labelled images of the run itself, not of what --init had seen."""
        counts = {data.name: data.images for data in self.spec.data if data.labelled}
        return sum(counts.values())

    def about(self) -> dict[str, Any]:
        """run.json: recipe, seed, folders; MissingError where the run has none."""
        file = self.folder / "run.json"
        if not file.is_file():
            raise MissingError(f"{self.name}: no run.json (lmdeploy train writes it)")
        return dict(json.loads(file.read_text(encoding="utf-8")))

    def label_rounds(self) -> list[int]:
        """Numbers t of the saved sets pseudo/round<t>, in order."""
        return _numbers(path.name for path in (self.folder / "pseudo").glob("round*"))

    def labels(self, t: int) -> Labels:
        """Pseudo-labels that the network of round t gave."""
        file = self.folder / "pseudo" / f"round{t}" / "landmarks.csv"
        if not file.is_file():
            raise MissingError(f"{self.name}: no pseudo-labels of round {t} (pseudo/round{t}/landmarks.csv)")
        columns = [f"{axis}{k}" for k in range(self.spec.landmarks.points) for axis in "xy"]
        table = read_table(file, columns)
        rows = list(table.rows.values())
        points = np.array([row.numbers(columns) for row in rows], np.float32).reshape(len(rows), -1, 2)
        has_score = "score" in table.header
        score = np.array([row.numbers(["score"])[0] for row in rows]) if has_score else None
        return Labels(tuple(table.rows), points, score)

    def trained_rounds(self) -> list[int]:
        """Numbers t >= 1 of the networks stages/round<t>, trained with or after pseudo-labels."""
        return [t for t in _numbers(path.stem for path in (self.folder / "stages").glob("round*.safetensors")) if t]

    def tests(self) -> dict[int, Evaluation]:
        """Test figures by round number (rounds/round<t>.json); empty where the run had no --eval."""
        folder = self.folder / "rounds"
        return {
            t: _evaluation(folder / f"round{t}.json") for t in _numbers(p.stem for p in folder.glob("round*.json"))
        }

    def final(self) -> Evaluation:
        """Test figures of the last round, or of the only stage."""
        tests = self.tests()
        if tests:
            return tests[max(tests)]
        files = list((self.folder / "rounds").glob("*.json"))
        if len(files) != 1:
            raise MissingError(f"{self.name}: no test figures; train with --eval LABELLED")
        return _evaluation(files[0])

    def seconds(self) -> dict[str, float]:
        """Training time by stage, s (metrics.csv, `epoch_s`)."""
        total: dict[str, float] = {}
        file = self.folder / "metrics.csv"
        if file.is_file():
            with file.open(newline="", encoding="utf-8") as stream:
                for row in csv.DictReader(stream):
                    if row["name"] == "epoch_s":
                        total[row["stage"]] = total.get(row["stage"], 0.0) + float(row["value"])
        if not total:
            raise MissingError(f"{self.name}: metrics.csv has no epoch_s, so its training time is not known")
        return total


def open_runs(folders: Sequence[Path]) -> tuple[Run, ...]:
    """Runs of one landmark schema; InputError names a folder that is none, or has another schema than the first."""
    repeated = len({folder.resolve().name for folder in folders}) < len(folders)
    runs = tuple(_open(folder, str(folder) if repeated else folder.resolve().name) for folder in folders)
    for run in runs:
        if run.spec.landmarks != runs[0].spec.landmarks:
            raise InputError(
                f"{run.folder} has landmarks {run.spec.landmarks.name}, {runs[0].folder} "
                f"{runs[0].spec.landmarks.name}: analyse them apart"
            )
    return runs


def _open(folder: Path, name: str) -> Run:
    saved = [folder / "model.safetensors", *sorted((folder / "stages").glob("*.safetensors"))]
    file = next((path for path in saved if path.is_file()), None)
    if file is None:
        raise InputError(f"{folder}: no model.safetensors and no stages/, so this is not a run of lmdeploy train")
    about = checkpoint.read(file).about
    return Run(folder, name, about.spec, about.network)


def _numbers(names: Iterable[str]) -> list[int]:
    return sorted(int(found.group(1)) for name in names if (found := ROUND.fullmatch(name)))


def _evaluation(file: Path) -> Evaluation:
    return Evaluation.model_validate_json(file.read_text(encoding="utf-8"))
