"""Every method on real faces with few labels, against supervised training of as many steps.

    python -m benchmarks.accuracy_faces [--quick] [--device cuda] [--shared FOLDER] [--labels 60 --seeds 1 --rows ...]

For each number of labels and each seed: a supervised model (and one of half the steps, which shows whether it has
reached its plateau); then, from it, a control that trains on, and each row of accuracy_rows.py with about as many
image-steps. Unlabelled: the rest of the training images, boxes from YuNet. `omni`: all training images labelled, the
frames of faces68 unlabelled. NME is inter-ocular in image px on the whole test folder, ground-truth boxes, weights of
the last epoch. A processor trains a light network on 128 px crops, a GPU HM-R18 at 256. A finished or interrupted run
is not trained again. `--quick` draws its own faces.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import accuracy_plot, refresh_data
from benchmarks.accuracy_rows import CPU_ROWS, FIVE, FROM_RANDOM, GPU_ROWS, Size, of_row, supervised
from benchmarks.faces_options import YUNET, options
from benchmarks.record import print_figures, write_result
from benchmarks.refresh_runs import rounds_of, train_one
from lmdeploy.dataset import read_unlabelled
from training import job
from training.models import heatmap
from training.recipe import Recipe

LIGHT = Size(None, 128, 32, 2e-3, 1e-3, steps=120_000, extra=151_200, oversample=900, tau=0.7)
LARGE = Size(heatmap.Config(), 256, 32, 1e-3, 5e-4, steps=120_000, extra=151_200, oversample=900, tau=0.7)
TINY = Size(None, 64, 16, 2e-3, 1e-3, steps=480, extra=320, oversample=32, tau=0.1)


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A number of labels (or `omni`) and a seed: where its data lie and where its runs go."""

    labels: str
    seed: int
    data: Path
    labelled: str | None
    unlabelled: tuple[Path, ...]
    test: Path
    yunet: Path | None
    out: Path
    device: str


def start_requests(case: Case, size: Size) -> dict[str, job.Request]:
    """The supervised start and one of half its steps."""
    wanted = {"supervised_half": size.steps // 2, "supervised": size.steps}
    return {name: _request(case, name, supervised(size, steps)) for name, steps in wanted.items()}


def later_requests(case: Case, size: Size, rows: Iterable[str]) -> dict[str, job.Request]:
    """The control and the other rows, from the supervised start."""
    start = case.out / "supervised" / "model.safetensors"
    count = len(job.prepare(_request(case, "count", of_row("naive", size, 1), start)).unlabelled or ())
    found = {"control": _request(case, "control", supervised(size, size.steps + size.extra))}
    for row in rows:
        if row != "supervised":
            found[row] = _request(case, row, of_row(row, size, count), None if row in FROM_RANDOM else start)
    return found


def run_case(case: Case, size: Size, rows: tuple[str, ...], pool: ProcessPoolExecutor) -> dict[str, Any]:
    """Train and measure one case: {row: {round: NME in per cent}} and each row's difference to the control."""
    first = start_requests(case, size)
    list(pool.map(train_one, first.values()))
    later = later_requests(case, size, rows)
    table: dict[str, dict[str, float]] = {name: rounds_of(case.out / name) for name in first}
    for name, run in zip(later, pool.map(train_one, later.values()), strict=True):
        table[name] = rounds_of(run.parent)
        say(f"{case.labels} labels, seed {case.seed}, {name}: {_last(table[name]):.3f} %  {table[name]}")
    control = case.out / "control"
    against = {name: refresh_data.difference(case.out / name, control, case.test) for name in later}
    return {"rounds": table, "minus_control": against, "unlabelled_boxes": "yunet" if case.yunet else "file"}


def say(line: str) -> None:
    """Print at once, so that a log shows how far a long execution has come."""
    print(line, flush=True)  # noqa: T201


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the asked-for cases; write the record and the picture in full mode."""
    parser = options(__doc__, "accuracy_faces")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--labels", nargs="+", default=["60"], help="20, 60, 120, 240 or omni")
    parser.add_argument("--rows", nargs="+", help="default: the five of every ratio with STLD's variants; a GPU: all")
    given = parser.parse_args(list(arguments) if arguments is not None else None)
    if given.quick:
        with tempfile.TemporaryDirectory() as folder:
            execute([_drawn(Path(folder))], TINY, FIVE, 2, None)
        return
    rows = tuple(given.rows or (CPU_ROWS if given.device == "cpu" else GPU_ROWS))
    cases = [_real(given, labels, 1234 + i) for labels in given.labels for i in range(given.seeds)]
    execute(cases, LIGHT if given.device == "cpu" else LARGE, rows, given.workers, given.out)


def execute(cases: list[Case], size: Size, rows: tuple[str, ...], workers: int, out: Path | None) -> None:
    """All cases one after another; with `out`, the record and the picture."""
    tables = {}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for case in cases:
            tables[f"{case.labels}/{case.seed}"] = run_case(case, size, rows, pool)
    figures = {
        f"nme_{key.replace('/', '_')}_{name}": _last(rounds)
        for key, table in tables.items()
        for name, rounds in table["rounds"].items()
    }
    if out is not None:
        accuracy_plot.bars(tables, out / "accuracy_faces.png")
        details: dict[str, Any] = {
            "tables": tables,
            "size": dataclasses.asdict(size),
            "weights": "random start, no ImageNet",
        }
        details |= {"test_images": len(read_unlabelled(cases[0].test)), "frame": "image", "boxes": "gt"}
        name = "accuracy_faces" if cases[0].device == "cpu" else "accuracy_faces_gpu"
        say(f"{write_result(name, figures, details, sorted({case.seed for case in cases}))}")
    print_figures(figures)


def _last(rounds: dict[str, float]) -> float:
    return list(rounds.values())[-1]


def _drawn(folder: Path) -> Case:
    data = refresh_data.drawn(folder)
    return Case("16", 1234, data.labelled, None, (data.site,), data.test, None, folder / "runs", "cpu")


def _real(given: argparse.Namespace, labels: str, seed: int) -> Case:
    faces = given.shared / "faces68_300w"
    frames = (given.shared / "faces68" / "train_unlabelled",) if labels == "omni" else ()
    chosen = None if labels == "omni" else str(faces / "splits" / f"labelled_{labels}.txt")
    yunet = given.shared / YUNET
    out = given.out / labels / str(seed)
    return Case(labels, seed, faces / "train", chosen, frames, faces / "test_public", yunet, out, given.device)


def _request(case: Case, name: str, made: Recipe, init: Path | None = None) -> job.Request:
    return job.Request(
        recipe=made, data=case.data, out=case.out / name, labelled=case.labelled, init=init,
        unlabelled=() if made.method == "supervised" else case.unlabelled, evaluate=case.test,
        boxes="yunet" if case.yunet else "whole_image", yunet=case.yunet, seed=case.seed, device=case.device,
    )  # fmt: skip


if __name__ == "__main__":
    main()
