"""Run folders with made-up labels and figures, as the trainer would leave them, and data folders to match."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from lmdeploy.bundle import ModelSpec, TrainingData
from lmdeploy.geometry import CropRule
from lmdeploy.schema import Normaliser, load_schema
from lmdeploy.types import Array
from tests.data_folder import write_labelled
from training.analysis.figure import Inputs
from training.analysis.run import open_runs
from training.analysis.truth import read_truth
from training.data.crops import labels_csv
from training.engine import checkpoint
from training.models import NetworkConfig, heatmap, transformer

IBUG68 = load_schema("ibug68")
NETWORKS: dict[str, NetworkConfig] = {"HM": heatmap.Config(), "TF": transformer.Config()}
TEST = {
    "model": "made", "digest": "", "provider": "torch-cpu", "landmarks": "ibug68", "normaliser": "inter-ocular",
    "frame": "image", "boxes": "gt", "images": 8, "dropped": 0, "dropped_images": [], "nme_ci": [0, 9], "fr": 0,
    "auc": 0.5, "per_landmark": [1.0] * 68,
}  # fmt: skip


def write_run(
    folder: Path,
    method: str = "stld",
    labels: Mapping[int, Mapping[str, Array]] | None = None,
    tests: Mapping[str, float] | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    kind: str = "HM",
    labelled: int = 50,
    score: Array | None = None,
    crop: CropRule | None = None,
    normaliser: Normaliser = IBUG68.normaliser,
    data: Mapping[str, Any] | None = None,
) -> Path:
    """labels: points f[K,2] (image px) by image name by round. tests: NME by stage.

    score: f[N,K] of every round. data: the recipe's [data].
    """
    schema = IBUG68.model_copy(update={"normaliser": normaliser})
    spec = ModelSpec(
        name="made", landmarks=schema, crop=crop or CropRule(), codec="subpixel", method=method,
        recipe={"method": method, "options": dict(options or {}), "data": data},
        data=(TrainingData(name="labelled", images=labelled, labelled=True, licence="drawn"),),
    )  # fmt: skip
    checkpoint.write(
        folder / "model.safetensors", nn.Linear(1, 1), checkpoint.About(spec=spec, network=NETWORKS[kind])
    )
    for t, points in (labels or {}).items():
        (folder / "pseudo" / f"round{t}").mkdir(parents=True)
        text = labels_csv(tuple(points), np.stack(list(points.values())).astype(np.float32), score)
        (folder / "pseudo" / f"round{t}" / "landmarks.csv").write_text(text)
    for stage, nme in (tests or {}).items():
        (folder / "rounds").mkdir(exist_ok=True)
        (folder / "rounds" / f"{stage}.json").write_text(json.dumps(TEST | {"nme": nme}))
    return folder


def write_truth(folder: Path, count: int, seed: int = 0) -> tuple[Path, dict[str, Array]]:
    """A labelled folder of `count` images whose inter-ocular distance is 20 px and whose box is 60 x 50 px."""
    draw = np.random.default_rng(seed)
    points = {f"im{i:02d}.jpg": draw.uniform([25, 30], [75, 70], (68, 2)).round(3) for i in range(count)}
    for of in points.values():
        of[36], of[45] = (40, 50), (60, 50)
        of[0], of[16], of[8] = (20, 40), (80, 40), (50, 75)
        of[27] = (50, 25)
    return write_labelled(folder, points), points


def inputs_of(data: Path, *folders: Path) -> Inputs:
    """What `lmdeploy analyse` hands to a figure."""
    runs = open_runs(folders)
    return Inputs(runs, read_truth(data, runs[0]))


def moved(
    points: Mapping[str, Array], shifts: Mapping[str, tuple[float, float]] | tuple[float, float]
) -> dict[str, Array]:
    """The points, every image's moved by its own shift, or all by one (image px)."""
    own = shifts if isinstance(shifts, Mapping) else dict.fromkeys(points, shifts)
    return {name: of + np.array(own[name]) for name, of in points.items()}
