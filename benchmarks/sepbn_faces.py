"""SepBN against BN in the same light network on real faces, all labels, a short schedule.

    python -m benchmarks.sepbn_faces [--quick] [--shared FOLDER] [--seeds 1] [--epochs 100] [--out RUN]

Supervised training of face68's light heatmap network on 64 px crops of faces68_300w, all training images labelled,
from random weights: once with batch norm, once with SepBN for every batch norm of its backbone, the same seed,
schedule, images and draws. NME is inter-ocular in image px on the whole test folder, ground-truth boxes, weights of
the last epoch. A finished or interrupted run is not trained again. `--quick` draws its own faces.

Figures: nme_SEED_bn, nme_SEED_sepbn; the record has the difference with its 95 % interval by identity.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import refresh_data
from benchmarks.accuracy_plot import bars
from benchmarks.record import print_figures, write_result
from benchmarks.refresh_runs import rounds_of, train_one
from lmdeploy.dataset import read_unlabelled
from training import job, recipe
from training.models.sepbn import Options

ROWS = ("bn", "sepbn")


@dataclass(frozen=True, slots=True)
class Plan:
    """Where data and runs lie; size: crop side, px; oversample: least length of the labelled list."""

    data: Path
    test: Path
    out: Path
    size: int
    epochs: int
    batch: int
    oversample: int = 0


def request(plan: Plan, row: str, seed: int) -> job.Request:
    """The run of one row."""
    base = recipe.load("face68")
    network = base.network.model_copy(update={"sepbn": Options() if row == "sepbn" else None})
    options = {"epochs": plan.epochs, "decay_at": [], "oversample": plan.oversample}
    changes = {
        "method": "supervised", "name": f"sepbn-faces-{row}", "options": options, "network": network,
        "crop": base.crop.model_copy(update={"size": plan.size}),
        "schedule": base.schedule.model_copy(update={"batch": plan.batch, "lr": 2e-3}),
    }  # fmt: skip
    return job.Request(
        recipe=recipe.checked(base.model_copy(update=changes), "sepbn_faces"), data=plan.data,
        out=plan.out / str(seed) / row, evaluate=plan.test, boxes="file", seed=seed, device="cpu",
    )  # fmt: skip


def compare(plan: Plan, seed: int, pool: ProcessPoolExecutor) -> dict[str, Any]:
    """Both runs of a seed, side by side: NME by row, and SepBN's difference to BN."""
    runs = dict(zip(ROWS, pool.map(train_one, [request(plan, row, seed) for row in ROWS]), strict=True))
    table = {row: rounds_of(file.parent) for row, file in runs.items()}
    minus = refresh_data.difference(runs["sepbn"].parent, runs["bn"].parent, plan.test)
    return {"rounds": table, "sepbn_minus_bn": minus}


def main(arguments: Iterable[str] | None = None) -> None:
    """Train what is missing; write the record and the picture in full mode."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="drawn faces, under 50 s on 2 cores; no record")
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"), help="folder of the real data")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("runs/sepbn_faces"))
    given = parser.parse_args(list(arguments) if arguments is not None else None)
    if given.quick:
        with tempfile.TemporaryDirectory() as folder:
            drawn = refresh_data.drawn(Path(folder))
            execute(Plan(drawn.labelled, drawn.test, Path(folder) / "runs", 64, 6, 16, 64), [1234], record=False)
        return
    faces = given.shared / "faces68_300w"
    plan = Plan(faces / "train", faces / "test_public", given.out, 64, given.epochs, 32)
    execute(plan, [1234 + i for i in range(given.seeds)], record=True)


def execute(plan: Plan, seeds: list[int], record: bool) -> None:
    """All seeds one after another; with `record`, the JSON and the picture."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        tables = {f"all/{seed}": compare(plan, seed, pool) for seed in seeds}
    figures = {
        f"nme_{key.partition('/')[2]}_{row}": list(table["rounds"][row].values())[-1]
        for key, table in tables.items()
        for row in ROWS
    }
    if record:
        bars(tables, plan.out / "sepbn_faces.png")
        about: dict[str, Any] = {
            "setting": "reduced setting, not comparable with the paper", "tables": tables, "weights": "random start",
            "frame": "image", "boxes": "gt", "size": plan.size, "epochs": plan.epochs,
            "test_images": len(read_unlabelled(plan.test)),
        }  # fmt: skip
        write_result("sepbn_faces", figures, about, seeds)
    print_figures(figures)


if __name__ == "__main__":
    main()
