"""One training run of the Blocks benchmark: a cell with the weights of its losses, measured on images to choose by."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import drawn_runs
from benchmarks.blocks_rows import Plan, Trial, labelled_of, recipe_of
from lmdeploy.atomic import write_file
from lmdeploy.types import F32
from training.data import blocks
from training.data.drawn import subset
from training.data.sets.drawn import SEEDS
from training.engine.predictor import pick_device

SCHEMA = "blocks6"


@dataclass(frozen=True, slots=True)
class Task:
    """A trial, the plan and where it runs."""

    trial: Trial
    plan: Plan
    root: Path
    device: str


def draw(plan: Plan, root: Path, device: str) -> None:
    """All images, each part with another seed."""
    pick_device(device)
    for name, count in plan.images.items():
        drawn_runs.folder_of(root / "data", name, blocks.draw(count, SEEDS[name]))


def run_trial(task: Task) -> dict[str, Any]:
    """Train and measure, or read what an earlier call measured under the same plan."""
    file = task.root / "cells" / f"{task.trial.name}.json"
    about = dataclasses.asdict(task.plan)
    if file.is_file():
        known: dict[str, Any] = json.loads(file.read_text())
        if known["plan"] == about:
            return known
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    start, result = time.process_time(), _measure(task)
    result |= {"plan": about, "cpu_s": time.process_time() - start}
    write_file(file, json.dumps(result, indent=1).encode())
    return result


def _measure(task: Task) -> dict[str, Any]:
    cell, plan, folder = task.trial.cell, task.plan, task.root / "data"
    made = recipe_of(task.trial, plan)
    samples = drawn_runs.samples_of(folder / "train", SCHEMA)
    classes = np.array([int(label) for label in _classes(folder / "train")])
    rows = set(subset(classes, labelled_of(plan, cell.ratio), cell.seed).tolist())
    parts = [[s for i, s in enumerate(samples) if (i in rows) == wanted] for wanted in (True, False)]
    cache = task.root / "cache"

    def crops(chosen: list[Any], name: str) -> Any:
        return drawn_runs.crops_of(chosen, SCHEMA, made.crop, cache, name) if chosen else None

    run = drawn_runs.Run(made, SCHEMA, task.root / "runs" / task.trial.name, cell.seed, task.device, plan.precision)
    labelled = crops(parts[0], f"l{cell.ratio}-{cell.seed}")
    unlabelled = None if cell.variant == "L" else crops(parts[1], f"u{cell.ratio}-{cell.seed}")
    network, trainer = drawn_runs.train(run, labelled, unlabelled)

    def gaps(name: str) -> F32:
        found = drawn_runs.samples_of(folder / name, SCHEMA)[: plan.images[name]]
        truth = np.stack([sample.points for sample in found if sample.points is not None])
        points = drawn_runs.find(network, trainer, crops(found, name))
        distances: F32 = np.linalg.norm(points - truth, axis=-1)
        return distances

    test = gaps("test")
    return {
        "px": float(test.mean()), "median_px": float(np.median(test)), "head_px": float(test[:, 0].mean()),
        "valid_px": float(gaps("valid").mean()), "images": len(test), "labelled": len(parts[0]),
        "alpha": task.trial.alpha, "attribute": task.trial.attribute, "published_px": cell.published,
    }  # fmt: skip


def _classes(folder: Path) -> list[str]:
    lines = (folder / "attributes.csv").read_text().splitlines()[1:]
    return [line.split(",")[1] for line in lines]
