"""Blocks: the grid of Honari et al., Table 1, side by side with the paper's figures.

    python -m benchmarks.blocks [--quick] [--workers 2] [--ratios 5 20 --seeds 5 --kinds ... --variants ...] [--long]

Figures of five squares and a triangle, a share of them with landmarks; Seq-MT with landmarks (L), their class (A), ELT
or all of these, Comm-MT and Heatmap-MT beside it. Everything is drawn here: no data are needed. As in the paper the
weights of a cell's losses are chosen on 3,200 validation images: of ELT 0.1, 0.5 or 1 (`--alphas`), then of the class
1 or 0.1 (`--attributes`). All trials take the same number of steps with the same number of labelled images; no
augmentation, weights of the last step, px of the 60 px image on 3,200 test images that neither training nor that
choice has seen. A finished trial is not run again. The default is a reduced schedule for one processor core: 5 and
20 %, one seed, 3,000 steps of 16; --long is meant for a GPU: all ratios, five seeds, 15,000 steps of 64.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import blocks_plot
from benchmarks.blocks_rows import ORDERINGS, RATIOS, TABLE_1, Cell, Plan, Trial, cells, trials_of
from benchmarks.blocks_trial import Task, draw, run_trial
from benchmarks.record import print_figures, write_result

CPU = Plan(steps=3000, batch=16, lr=3e-4)
LONG = Plan(steps=15_000, batch=64, lr=3e-4)
TINY = Plan(steps=6, batch=4, lr=1e-3, channels=4, train=60, test=30, valid=30, precision="32")
CPU_CELLS = (
    ("seq_mt", "L"), ("seq_mt", "L+A"), ("seq_mt", "L+ELT"), ("seq_mt", "L+ELT+A"),
    ("comm_mt", "L"), ("heatmap_mt", "L"),
)  # fmt: skip
ALPHAS = (0.1, 0.5, 1.0)
ATTRIBUTES = (1.0, 0.1)


@dataclass(frozen=True, slots=True)
class Grid:
    """What is tried for every cell, under which plan and where."""

    plan: Plan
    root: Path
    device: str = "cpu"
    alphas: Sequence[float] = ALPHAS
    attributes: Sequence[float] = ATTRIBUTES


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
    parser.add_argument("--alphas", nargs="+", type=_weight, default=ALPHAS, help="weights of ELT to try")
    parser.add_argument(
        "--attributes", nargs="+", type=_weight, default=ATTRIBUTES,
        help="weights of the class to try, all but the first with the best alpha alone",
    )  # fmt: skip
    parser.add_argument("--workers", type=int, default=1, help="trials at a time")
    parser.add_argument("--out", type=Path, default=Path("runs/blocks"))
    given = parser.parse_args(list(arguments) if arguments is not None else None)
    if given.quick:
        with tempfile.TemporaryDirectory() as folder:
            few = cells(["seq_mt", "comm_mt", "heatmap_mt"], [20], [1], ["L", "L+ELT+A"])
            execute(few, Grid(TINY, Path(folder), alphas=(0.1, 1.0)), 1)
        return
    plan = LONG if given.long else CPU
    asked = {"steps": given.steps, "side": given.side, "channels": given.channels}
    plan = dataclasses.replace(plan, **{name: value for name, value in asked.items() if value})
    grid = Grid(plan, given.out, given.device, given.alphas, given.attributes)
    execute(_asked(given), grid, given.workers, given.out)


def _weight(word: str) -> float:
    """A loss's weight."""
    weight = float(word)
    if not 0 <= weight < float("inf"):
        raise argparse.ArgumentTypeError(f"{word} is no weight: give a number of 0 or more")
    return weight


def _asked(given: argparse.Namespace) -> list[Cell]:
    """The cells that were asked for; without a word the plan's own."""
    kinds = given.kinds or sorted({kind for kind, _ in TABLE_1})
    variants = given.variants or sorted({variant for _, variant in TABLE_1})
    ratios = given.ratios or (list(RATIOS) if given.long else [5, 20])
    seeds = list(range(1, 1 + (given.seeds or (5 if given.long else 1))))
    found = cells(kinds, ratios, seeds, variants)
    if given.long or given.kinds or given.variants:
        return found
    return [cell for cell in found if (cell.kind, cell.variant) in CPU_CELLS]


def execute(wanted: list[Cell], grid: Grid, workers: int, out: Path | None = None) -> None:
    """All trials of all cells; with `out`, the record and the picture."""
    draw(grid.plan, grid.root, grid.device)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        tried = search(wanted, grid, lambda tasks: pool.map(run_trial, tasks))
    results = {cell: chosen(of_cell) for cell, of_cell in tried.items()}
    figures = {f"px_{cell.name}": result["px"] for cell, result in results.items()}
    orders = orderings(results)
    figures |= {"orderings_held": float(sum(orders.values())), "orderings": float(len(orders))}
    if out is not None:
        blocks_plot.bars(results, out / "blocks.png")
        details = {"cells": {cell.name: result for cell, result in results.items()}, "orderings": orders}
        details["trials"] = {cell.name: of_cell for cell, of_cell in tried.items()}
        details["unit"] = "px of the 60 px image, mean over landmarks and images, fp32 network"
        seeds = sorted({cell.seed for cell in results})
        say(str(write_result("blocks" if grid.device == "cpu" else "blocks_gpu", figures, details, seeds)))
    print_figures(figures)


def search(
    wanted: list[Cell], grid: Grid, run: Callable[[list[Task]], Iterable[dict[str, Any]]]
) -> dict[Cell, list[dict[str, Any]]]:
    """All results of each cell: every alpha with the first weight of the class, then the best one with the others."""
    tried: dict[Cell, list[dict[str, Any]]] = {cell: [] for cell in wanted}

    def go(trials: list[Trial]) -> None:
        tasks = [Task(trial, grid.plan, grid.root, grid.device) for trial in trials]
        for trial, result in zip(trials, run(tasks), strict=True):
            tried[trial.cell].append(result)
            published = "-" if result["published_px"] is None else f"{result['published_px']:.2f}"
            say(f"{trial.name}: {result['px']:.2f} px, paper {published} px, {result['cpu_s']:.0f} s of processor")

    first, others = grid.attributes[:1], grid.attributes[1:]
    go([trial for cell in wanted for trial in trials_of(cell, grid.alphas, first)])
    of_class = [cell for cell in wanted if "A" in cell.variant.split("+")]
    go([trial for cell in of_class for trial in trials_of(cell, [float(chosen(tried[cell])["alpha"])], others)])
    return tried


def chosen(tried: list[dict[str, Any]]) -> dict[str, Any]:
    """The trial that is best on the validation images."""
    return min(tried, key=lambda result: float(result["valid_px"]))


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
