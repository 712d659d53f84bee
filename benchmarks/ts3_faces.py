"""TS3 on real faces with few labels, against each student alone, SPL and SPaCo with as many pseudo-labels.

    python -m benchmarks.ts3_faces [--quick] [--device cuda] [--shared FOLDER] [--labels 60 --seeds 1 --rows ...]

All rows train the same students for the same epochs at 64 px; `supervised` is step 0, which ts3, spl and spaco share.
`cpm` and `hourglass` are TS3 with one student. Unlabelled: the rest of the training images, boxes from YuNet. NME is
inter-ocular in image px on the whole test folder, ground-truth boxes, weights of the last epoch. The choice of each
half-step is measured too: the true error of the chosen pseudo-labels divided by that of all of them (1: no better than
a random choice). A processor trains students of an eighth of the published widths, a GPU the published ones with batch
norm in CPM. A finished or interrupted run is not trained again. `--quick` draws its own faces.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import accuracy_plot, refresh_data, ts3_rows
from benchmarks.faces_options import YUNET, options
from benchmarks.record import print_figures, write_result
from benchmarks.refresh_runs import rounds_of, train_one
from benchmarks.toy_faces import write_folder
from benchmarks.ts3_rows import ALONE, LARGE, LIGHT, ROWS, SHARED, START, TINY, Size
from lmdeploy import metrics
from lmdeploy.dataset import read_labelled
from lmdeploy.schema import load_schema
from lmdeploy.types import F64
from training import job


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A number of labels and a seed: where its data lie and where its runs go."""

    labels: str
    seed: int
    data: Path
    labelled: str
    test: Path
    yunet: Path | None
    out: Path
    device: str


def run_case(case: Case, size: Size, rows: tuple[str, ...], pool: ProcessPoolExecutor) -> dict[str, Any]:
    """Train and measure one case: NME by row and round, the choices, and TS3's difference to every other row."""
    first = [START, *(row for row in rows if row in ALONE)]
    table: dict[str, dict[str, float]] = {}
    for batch in (first, [row for row in rows if row in SHARED]):
        for row in batch:
            if row in SHARED:
                share_start(case, row)
        runs = pool.map(train_one, [_request(case, row, size) for row in batch])
        for row, run in zip(batch, runs, strict=True):
            table[row] = rounds_of(run.parent)
            print(f"{case.labels} labels, seed {case.seed}, {row}: {table[row]}", flush=True)  # noqa: T201
    choices = {row: choice(case, row) for row in table if row != START}
    others = [row for row in table if row != "ts3" and "ts3" in table]
    ours = case.out / "ts3"
    against = {row: refresh_data.difference(ours, case.out / row, case.test) for row in others}
    return {"rounds": table, "choices": choices, "ts3_minus": against}


def share_start(case: Case, row: str) -> None:
    """Let a row begin with the supervised run's students, which it would train alike."""
    target = case.out / row / "stages"
    for file in (case.out / START / "stages").glob("round0-*.safetensors"):
        if not (target / file.name).is_file():
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target / file.name)


def choice(case: Case, row: str) -> dict[str, dict[str, float]]:
    """For each half-step, NME in per cent of all pseudo-labels and of the chosen ones, with the number of each."""
    schema = load_schema("ibug68")
    truth = {sample.name: sample.points for sample in read_labelled(case.data, schema)}
    found = {}
    for folder in sorted((case.out / row / "pseudo").iterdir()):
        labels = _labels(folder / "landmarks.csv")
        true = np.stack([truth[name] for name in labels])  # type: ignore[misc]  # every image of the folder has some
        nme = 100 * metrics.nme_per_image(np.stack(list(labels.values())), true, schema.normaliser)
        chosen = set((folder / "chosen.txt").read_text(encoding="utf-8").split("\n"))
        kept = np.array([name in chosen for name in labels])
        found[folder.name] = {
            "all": float(nme.mean()), "chosen": float(nme[kept].mean()),
            "images": len(nme), "chosen_images": int(kept.sum()),
        }  # fmt: skip
    return found


def _labels(file: Path) -> dict[str, F64]:
    """Points f64[68,2], image px, by image, of a run's pseudo-labels."""
    lines = [line.split(",") for line in file.read_text(encoding="utf-8").splitlines()[1:]]
    return {name: np.array(values, np.float64).reshape(-1, 2) for name, _, *values in lines}


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the asked-for cases; write the record and the picture in full mode."""
    parser = options(__doc__, "ts3_faces")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--labels", nargs="+", default=["60"], help="20, 60, 120 or 240")
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=ROWS)
    given = parser.parse_args(list(arguments) if arguments is not None else None)
    if given.quick:
        with tempfile.TemporaryDirectory() as folder:
            execute([_drawn(Path(folder))], TINY, ROWS, 2, None)
        return
    cases = [_real(given, labels, 1234 + i) for labels in given.labels for i in range(given.seeds)]
    execute(cases, LIGHT if given.device == "cpu" else LARGE, tuple(given.rows), given.workers, given.out)


def execute(cases: list[Case], size: Size, rows: tuple[str, ...], workers: int, out: Path | None) -> None:
    """All cases one after another; with `out`, the record and the picture."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        tables = {f"{case.labels}/{case.seed}": run_case(case, size, rows, pool) for case in cases}
    figures: dict[str, float] = {}
    for key, table in tables.items():
        end = key.replace("/", "_")
        figures |= {f"nme_{end}_{row}": list(rounds.values())[-1] for row, rounds in table["rounds"].items()}
        for row, steps in table["choices"].items():
            figures[f"chosen_to_all_{end}_{row}"] = float(np.mean([s["chosen"] / s["all"] for s in steps.values()]))
    if out is not None:
        accuracy_plot.bars(tables, out / "ts3_faces.png")
        students = {one.kind: one.model_dump() for one in (size.cpm, size.hourglass)}
        details: dict[str, Any] = {"tables": tables, "students": students, "size": dataclasses.asdict(size) | students}
        details |= {
            "weights": "random start, no ImageNet",
            "frame": "image",
            "boxes": "gt",
            "unlabelled_boxes": "yunet",
        }
        details["setting"] = "reduced setting, not comparable with the paper: light students, short stages, few images"
        name = "ts3_faces" if cases[0].device == "cpu" else "ts3_faces_gpu"
        path = write_result(name, figures, details, sorted({case.seed for case in cases}))
        print(path, flush=True)  # noqa: T201
    print_figures(figures)


def _drawn(folder: Path) -> Case:
    train, test = write_folder(folder / "train", 48, seed=1), write_folder(folder / "test", 24, seed=4)
    return Case("16", 1234, train, "16", test, None, folder / "runs", "cpu")


def _real(given: argparse.Namespace, labels: str, seed: int) -> Case:
    faces = given.shared / "faces68_300w"
    chosen = str(faces / "splits" / f"labelled_{labels}.txt")
    yunet = given.shared / YUNET
    out = given.out / labels / str(seed)
    return Case(labels, seed, faces / "train", chosen, faces / "test_public", yunet, out, given.device)


def _request(case: Case, row: str, size: Size) -> job.Request:
    return job.Request(
        recipe=ts3_rows.of_row(row, size), data=case.data, out=case.out / row, labelled=case.labelled,
        evaluate=case.test, boxes="yunet" if case.yunet else "whole_image", yunet=case.yunet, seed=case.seed,
        device=case.device,
    )  # fmt: skip


if __name__ == "__main__":
    main()
