"""Shapes: landmarks from class labels alone (Honari et al., Section 4.1).

    python -m benchmarks.shapes [--quick] [--steps 16000] [--seed 1] [--device cuda]

A square and a triangle; the class says which is nearer to the upper left corner. Seq-MT with K = 2 learns with the
class's cross-entropy alone: no landmark, no ELT. Published: 99 % accuracy, one landmark on each figure. Measured here:
accuracy on 1,000 test images, and, after the one matching of landmarks to figures that fits the whole test set best,
the mean distance to the matched centre (under 6 px: on or beside the figure). The class says nothing of a constant
offset between landmark and figure, so `following_px` leaves it out: the mean distance once each landmark's mean offset
is taken off. Everything is drawn here.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from benchmarks import drawn_runs, shapes_plot
from benchmarks.blocks_rows import PLAIN, WHOLE
from benchmarks.record import print_figures, write_result
from lmdeploy.types import F32, Array
from training import recipe
from training.data import shapes
from training.data.crops import Crops
from training.engine import checkpoint
from training.engine.fit import Schedule
from training.engine.plain import plain_batches
from training.engine.train_set import columns_of
from training.models import Network, seq_mt
from training.models.multi_task import MultiTask, with_attributes

SCHEMA = "shapes2"


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """Images, optimiser steps, batch, step size, side of the maps (px) and channels."""

    train: int
    test: int
    steps: int
    batch: int
    lr: float
    side: int = 60
    channels: int = 8
    precision: str = "bf16"


FULL = Plan(train=10_000, test=1000, steps=16_000, batch=32, lr=1e-3)
TINY = Plan(train=64, test=32, steps=4, batch=16, lr=1e-3, channels=4, precision="32")
WARM_UP = 200  # steps


def recipe_of(plan: Plan) -> recipe.Recipe:
    """Seq-MT for Shapes: the attribute's loss alone."""
    network = seq_mt.Config(channels=plan.channels, side=plan.side)
    epochs = max(round(plan.steps / (plan.train // plan.batch)), 1)
    options: dict[str, Any] = {
        "lambda_l": 0.0, "alpha": 0.0, "attribute": 1.0, "labelled_only": True, "mu": 0, "epochs": epochs,
    }  # fmt: skip
    schedule = Schedule(batch=plan.batch, lr=plan.lr, decay="cosine", warm_up=min(WARM_UP / plan.steps, 0.5))
    made = recipe.Recipe(
        method="seq_mt", name="shapes", codec="softargmax", network=network, crop=WHOLE, schedule=schedule,
        augment=PLAIN, options=options,
    )  # fmt: skip
    return recipe.checked(made, "shapes")


def accuracy(module: MultiTask, crops: Crops, classes: Array) -> float:
    """Share of plain crops whose class (i64[N]) the trained network and its branch tell."""
    found: list[Array] = []
    module.eval()
    for x, _ in plain_batches(crops, WHOLE.size, next(module.parameters()).device):
        with torch.inference_mode():
            _, told = module(x)
        found.append(told[0].argmax(dim=1).cpu().numpy())
    return float((np.concatenate(found) == classes).mean())


def told_by(network: Network, out: Path, crops: Crops) -> MultiTask:
    """The network with the branches that it was trained with: the stage's checkpoint has both."""
    module = with_attributes(network, columns_of([crops]), seed=0)
    module.load_state_dict(checkpoint.read(out / "stages" / "seq_mt.safetensors").weights)
    return module


def matched(found: F32, truth: F32) -> tuple[float, tuple[int, ...]]:
    """Mean distance, px, under the matching of landmarks to figures that is best over all images, and the matching.

    found, truth: f32[N,2,2]; entry k of the matching is the landmark that goes with figure k.
    """
    cost = np.linalg.norm(found[:, None] - truth[:, :, None], axis=-1).mean(axis=0)  # [figure, landmark]
    rows, columns = linear_sum_assignment(cost)
    return float(cost[rows, columns].mean()), tuple(int(c) for c in columns)


def following(found: F32, truth: F32) -> float:
    """Mean distance, px, without each landmark's mean offset; found, truth f32[N,2,2] in the same order."""
    offset = found - truth
    return float(np.linalg.norm(offset - offset.mean(axis=0), axis=-1).mean())


def execute(plan: Plan, root: Path, device: str = "cpu", seed: int = 1, record: bool = False) -> None:
    """Train and measure; with `record`, the record and the picture in `root`."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    made = recipe_of(plan)
    drawn = {"train": shapes.draw(plan.train, 1), "test": shapes.draw(plan.test, 3)}
    folders = {name: drawn_runs.folder_of(root / "data", name, value) for name, value in drawn.items()}
    crops = {
        name: drawn_runs.crops_of(
            drawn_runs.samples_of(folder, SCHEMA), SCHEMA, made.crop, root / "cache", name
        )
        for name, folder in folders.items()
    }  # fmt: skip
    run = drawn_runs.Run(made, SCHEMA, root / f"run-{seed}", seed, device, plan.precision)
    network, trainer = drawn_runs.train(run, crops["train"], None)
    found = drawn_runs.find(network, trainer, crops["test"])
    distance, order = matched(found, drawn["test"].points)
    right = accuracy(told_by(network, run.out, crops["train"]), crops["test"], drawn["test"].classes)
    found, truth = found[:, list(order)], drawn["test"].points
    square_px, triangle_px = np.linalg.norm(found - truth, axis=-1).mean(axis=0).tolist()
    figures = {"accuracy": right, "matched_px": distance, "square_px": square_px, "triangle_px": triangle_px}
    figures |= {"following_px": following(found, truth)}
    if record:
        shapes_plot.sheet(drawn["test"].images, found, root / "shapes.png")
        details: dict[str, Any] = {"plan": dataclasses.asdict(plan), "published": {"accuracy": 0.99}, "order": order}
        write_result("shapes" if device == "cpu" else "shapes_gpu", figures, details, [seed])
    print_figures(figures)


def main(arguments: Iterable[str] | None = None) -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="four steps on a few images, under 50 s; no record")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--steps", type=int, default=FULL.steps)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/shapes"))
    given = parser.parse_args(list(arguments) if arguments is not None else None)
    if given.quick:
        with tempfile.TemporaryDirectory() as folder:
            execute(TINY, Path(folder))
        return
    execute(dataclasses.replace(FULL, steps=given.steps), given.out, given.device, given.seed, record=True)


if __name__ == "__main__":
    main()
