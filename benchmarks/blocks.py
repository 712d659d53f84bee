"""Blocks: the grid of Honari et al., Table 1, side by side with the paper's figures.

    python -m benchmarks.blocks [--quick] [--workers 2] [--ratios 5 20 --seeds 5 --kinds ... --variants ...] [--long]

Figures of five squares and a triangle, a share of them with landmarks; Seq-MT with landmarks (L), their class (A), ELT
or all of these, Comm-MT and Heatmap-MT beside it. Everything is drawn here: no data are needed. Every cell takes the
same number of steps with the same number of labelled images; no augmentation, weights of the last step, px of the
60 px image on test images that no training saw. A finished cell is not run again. The default is a reduced schedule
for one processor core: 5 and 20 %, one seed, 3,000 steps of 16, maps of 30 px; --long is meant for a GPU: all ratios,
five seeds, 15,000 steps of 64, maps of 60 px.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import blocks_plot, drawn_runs
from benchmarks.blocks_rows import ORDERINGS, RATIOS, TABLE_1, Cell, Plan, cells, labelled_of, recipe_of
from benchmarks.record import print_figures, write_result
from lmdeploy.atomic import write_file
from training.data import blocks
from training.data.drawn import subset
from training.engine.predictor import pick_device

CPU = Plan(steps=3000, batch=16, lr=3e-4, side=30)
LONG = Plan(steps=15_000, batch=64, lr=3e-4)
TINY = Plan(steps=6, batch=4, lr=1e-3, channels=4, train=60, test=30, precision="32")
CPU_CELLS = (
    ("seq_mt", "L"), ("seq_mt", "L+A"), ("seq_mt", "L+ELT"), ("seq_mt", "L+ELT+A"),
    ("comm_mt", "L"), ("heatmap_mt", "L"),
)  # fmt: skip
SCHEMA = "blocks6"


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """A cell, its plan and where it runs."""

    cell: Cell
    plan: Plan
    root: Path
    device: str


def run_cell(task: Task) -> dict[str, Any]:
    """Train and measure a cell, or read what an earlier call measured under the same plan."""
    file = task.root / "cells" / f"{task.cell.name}.json"
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
    cell, plan = task.cell, task.plan
    made = recipe_of(cell, plan)
    samples = drawn_runs.samples_of(task.root / "data" / "train", SCHEMA)
    classes = np.array([int(label) for label in _classes(task.root / "data" / "train")])
    rows = set(subset(classes, labelled_of(plan, cell.ratio), cell.seed).tolist())
    parts = [[s for i, s in enumerate(samples) if (i in rows) == wanted] for wanted in (True, False)]
    cache = task.root / "cache"

    def crops(chosen: list[Any], name: str) -> Any:
        return drawn_runs.crops_of(chosen, SCHEMA, made.crop, cache, name) if chosen else None

    run = drawn_runs.Run(made, SCHEMA, task.root / "runs" / cell.name, cell.seed, task.device, plan.precision)
    labelled = crops(parts[0], f"l{cell.ratio}-{cell.seed}")
    unlabelled = None if cell.variant == "L" else crops(parts[1], f"u{cell.ratio}-{cell.seed}")
    network, trainer = drawn_runs.train(run, labelled, unlabelled)
    test = drawn_runs.samples_of(task.root / "data" / "test", SCHEMA)[: plan.test]
    truth = np.stack([s.points for s in test if s.points is not None])
    gaps = np.linalg.norm(drawn_runs.find(network, trainer, crops(test, "test")) - truth, axis=-1)
    return {
        "px": float(gaps.mean()), "median_px": float(np.median(gaps)), "head_px": float(gaps[:, 0].mean()),
        "images": len(test), "labelled": len(parts[0]), "published_px": cell.published,
    }  # fmt: skip


def _classes(folder: Path) -> list[str]:
    lines = (folder / "attributes.csv").read_text().splitlines()[1:]
    return [line.split(",")[1] for line in lines]


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the asked-for cells; write record and picture in full mode."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny networks for a few steps, under 50 s; no record")
    parser.add_argument("--long", action="store_true", help="the paper's whole grid, for a GPU")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--ratios", nargs="+", type=int, choices=RATIOS)
    parser.add_argument("--kinds", nargs="+", choices=sorted({kind for kind, _ in TABLE_1}))
    parser.add_argument("--variants", nargs="+", choices=sorted({variant for _, variant in TABLE_1}))
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--steps", type=int, help="steps of every cell, instead of the plan's")
    parser.add_argument("--side", type=int, choices=[30, 60], help="px of the maps, instead of the plan's")
    parser.add_argument("--channels", type=int, help="of every convolution, instead of the plan's")
    parser.add_argument("--workers", type=int, default=1, help="cells at a time")
    parser.add_argument("--out", type=Path, default=Path("runs/blocks"))
    given = parser.parse_args(list(arguments) if arguments is not None else None)
    if given.quick:
        with tempfile.TemporaryDirectory() as folder:
            execute(
                _tasks(cells(["seq_mt", "comm_mt", "heatmap_mt"], [20], [1], ["L", "L+ELT+A"]), TINY, Path(folder)), 1
            )
        return
    plan = LONG if given.long else CPU
    asked = {"steps": given.steps, "side": given.side, "channels": given.channels}
    plan = dataclasses.replace(plan, **{name: value for name, value in asked.items() if value})
    execute(_tasks(_chosen(given), plan, given.out, given.device), given.workers, given.out)


def _chosen(given: argparse.Namespace) -> list[Cell]:
    """The cells that were asked for; without a word the plan's own."""
    kinds = given.kinds or sorted({kind for kind, _ in TABLE_1})
    variants = given.variants or sorted({variant for _, variant in TABLE_1})
    ratios = given.ratios or (list(RATIOS) if given.long else [5, 20])
    seeds = list(range(1, 1 + (given.seeds or (5 if given.long else 1))))
    found = cells(kinds, ratios, seeds, variants)
    if given.long or given.kinds or given.variants:
        return found
    return [cell for cell in found if (cell.kind, cell.variant) in CPU_CELLS]


def _tasks(wanted: list[Cell], plan: Plan, root: Path, device: str = "cpu") -> list[Task]:
    """The cells' tasks, their data drawn: the test figures with another seed than the training ones."""
    pick_device(device)
    for name, count, seed in (("train", plan.train, 1), ("test", plan.test, 3)):
        drawn_runs.folder_of(root / "data", name, blocks.draw(count, seed))
    return [Task(cell, plan, root, device) for cell in wanted]


def execute(tasks: list[Task], workers: int, out: Path | None = None) -> None:
    """All cells; with `out`, the record and the picture."""
    results: dict[Cell, dict[str, Any]] = {}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for task, result in zip(tasks, pool.map(run_cell, tasks), strict=True):
            results[task.cell] = result
            published = "-" if result["published_px"] is None else f"{result['published_px']:.2f}"
            say(f"{task.cell.name}: {result['px']:.2f} px, paper {published} px, {result['cpu_s']:.0f} s of processor")
    figures = {f"px_{cell.name}": result["px"] for cell, result in results.items()}
    orders = orderings(results)
    figures |= {"orderings_held": float(sum(orders.values())), "orderings": float(len(orders))}
    if out is not None:
        blocks_plot.bars(results, out / "blocks.png")
        details = {"cells": {cell.name: result for cell, result in results.items()}, "orderings": orders}
        details["unit"] = "px of the 60 px image, mean over landmarks and images, fp32 network"
        seeds = sorted({cell.seed for cell in results})
        say(str(write_result("blocks" if tasks[0].device == "cpu" else "blocks_gpu", figures, details, seeds)))
    print_figures(figures)


def orderings(results: dict[Cell, dict[str, Any]]) -> dict[str, bool]:
    """Which of the paper's orderings hold, by the mean over seeds, at each ratio that has both cells."""
    means: dict[tuple[str, str, int], float] = {}
    for kind, variant, ratio in {(cell.kind, cell.variant, cell.ratio) for cell in results}:
        mine = [r["px"] for c, r in results.items() if (c.kind, c.variant, c.ratio) == (kind, variant, ratio)]
        means[kind, variant, ratio] = float(np.mean(mine))
    return {
        f"{better} < {worse} at {ratio} %": means[*better, ratio] < means[*worse, ratio]
        for better, worse in ORDERINGS
        for ratio in RATIOS
        if (*better, ratio) in means and (*worse, ratio) in means
    }


def say(line: str) -> None:
    """Print at once, so that a log shows how far a long execution has come."""
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
