"""Which images to label: NNM, entropy and k-center against random choice on real faces, 10 to 50 labels.

    python -m benchmarks.active_faces [--quick] [--shared FOLDER] [--seeds 1] [--rows random nnm ...] [--workers 2]

Every row is one run of the method active_learning over the 1,207 training images of faces68_300w, from the same 10
random images of the seed; face68's light network starts from random weights in every round and takes the same number
of image-steps. NME is inter-ocular in image px on the whole test folder after each round, ground-truth boxes in the
pool and in the test. A finished or interrupted run is not trained again. `--quick` draws its own faces.
Figures: nme_SEED_ROW_LABELS, per cent; minus_random_SEED_ROW, mean difference to the random row at the last budget.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import active_plot, refresh_data
from benchmarks.accuracy_faces import say
from benchmarks.faces_options import options
from benchmarks.record import print_figures, write_result
from benchmarks.refresh_runs import rounds_of, train_one
from benchmarks.toy_faces import write_folder
from training import job, recipe

ROWS: dict[str, dict[str, Any]] = {
    "random": {"strategy": "random", "discard": 0.0},
    "nnm": {"strategy": "nnm", "discard": 0.0},
    "nnm_discard": {"strategy": "nnm", "discard": 0.1},
    "entropy": {"strategy": "entropy", "discard": 0.0},
    "entropy_discard": {"strategy": "entropy", "discard": 0.1},
    "k_center": {"strategy": "k_center", "discard": 0.0},
}


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    """Crop side, px; batch; image-steps of a round are epochs x oversample; labels of the first and the last round."""

    size: int
    batch: int
    epochs: int
    oversample: int
    initial: int
    budget: int
    step: int
    window: int


LIGHT = Size(size=96, batch=32, epochs=14, oversample=900, initial=10, budget=50, step=10, window=7)
DEFAULT = ("random", "nnm", "nnm_discard", "entropy", "k_center")
TINY = Size(size=32, batch=8, epochs=20, oversample=16, initial=4, budget=8, step=2, window=3)


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """Where the pool and the test lie, the seed, and where the runs go."""

    pool: Path
    test: Path
    seed: int
    out: Path


def request(case: Case, size: Size, row: str) -> job.Request:
    """The run of a row."""
    base = recipe.load("active_learning")
    options = {
        "initial": size.initial, "budget": size.budget, "step": size.step, "window": size.window,
        "epochs": size.epochs, "oversample": size.oversample,
    }  # fmt: skip
    changes = {
        "name": f"active-{row}", "options": base.options | options | ROWS[row],
        "crop": base.crop.model_copy(update={"size": size.size}),
        "schedule": base.schedule.model_copy(update={"batch": size.batch}),
    }  # fmt: skip
    return job.Request(
        recipe=recipe.checked(base.model_copy(update=changes), "active_faces"), data=case.pool, out=case.out / row,
        evaluate=case.test, boxes="file", seed=case.seed, device="cpu",
    )  # fmt: skip


def run_case(case: Case, size: Size, rows: tuple[str, ...], pool: ProcessPoolExecutor) -> dict[str, Any]:
    """Train and measure the rows of one seed: NME after each round, and the last one's difference to random."""
    requests = [request(case, size, row) for row in rows]
    table: dict[str, dict[str, float]] = {}
    for row, file in zip(rows, pool.map(train_one, requests), strict=True):
        table[row] = by_labels(rounds_of(file.parent), size)
        say(f"seed {case.seed}, {row}: {table[row]}")
    others = [row for row in rows if row != "random"] if "random" in rows else []
    minus = {row: refresh_data.difference(case.out / row, case.out / "random", case.test) for row in others}
    return {"nme": table, "minus_random": minus}


def by_labels(rounds: dict[str, float], size: Size) -> dict[str, float]:
    """{labels: NME} of {roundR: NME}."""
    return {
        str(min(size.initial + size.step * int(name.removeprefix("round")), size.budget)): value
        for name, value in sorted(rounds.items())
    }


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the asked-for rows; write the record and the picture in full mode."""
    parser = options(__doc__, "active_faces")
    parser.add_argument(
        "--rows", nargs="+", choices=ROWS, default=list(DEFAULT), help="default: all but entropy_discard"
    )
    given = parser.parse_args(list(arguments) if arguments is not None else None)
    if given.quick:
        with tempfile.TemporaryDirectory() as folder:
            execute([_drawn(Path(folder))], TINY, ("random", "nnm_discard", "k_center"), 2, None)
        return
    faces = given.shared / "faces68_300w"
    seeds = [1234 + i for i in range(given.seeds)]
    cases = [Case(faces / "train", faces / "test_public", seed, given.out / str(seed)) for seed in seeds]
    execute(cases, LIGHT, tuple(given.rows), given.workers, given.out)


def execute(cases: list[Case], size: Size, rows: tuple[str, ...], workers: int, out: Path | None) -> None:
    """All cases one after another; with `out`, the record and the picture."""
    tables: dict[str, dict[str, Any]] = {}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for case in cases:
            tables[str(case.seed)] = run_case(case, size, rows, pool)
    figures = {
        f"nme_{seed}_{row}_{labels}": value
        for seed, table in tables.items()
        for row, curve in table["nme"].items()
        for labels, value in curve.items()
    }
    for seed, table in tables.items():
        figures |= {f"minus_random_{seed}_{row}": value["mean"] for row, value in table["minus_random"].items()}
    if out is not None:
        active_plot.curves({seed: table["nme"] for seed, table in tables.items()}, out / "active_faces.png")
        details: dict[str, Any] = {"tables": tables, "size": dataclasses.asdict(size), "frame": "image", "boxes": "gt"}
        details |= {"weights": "random start, no ImageNet", "note": "reduced setting, not comparable with the paper"}
        say(f"{write_result('active_faces', figures, details, [case.seed for case in cases])}")
    print_figures(figures)


def _drawn(folder: Path) -> Case:
    return Case(
        write_folder(folder / "pool", 24, seed=1), write_folder(folder / "test", 12, seed=2), 1234, folder / "runs"
    )


if __name__ == "__main__":
    main()
