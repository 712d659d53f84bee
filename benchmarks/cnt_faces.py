"""Cross-protocol training on real faces: few hand-corrected labels beside many automatic ones of another protocol.

    python -m benchmarks.cnt_faces [--quick] [--shared FOLDER] [--labels 60 240] [--seeds 1] [--out RUN]

faces68_300w (labels corrected by people; so many of its training images) and the labelled part of faces68 (2,960
frames, labels of an automatic aligner) both have 68 iBUG points, but mark them differently: two protocols. Rows, the
same light heatmap network and about the same image-steps each, from random weights:

    control   faces68_300w alone
    cnt       stage 1 on both data sets with a head each, stage 2 on faces68_300w (its round `fine`)
    pooled    both data sets as if they were one protocol, under one head

NME is inter-ocular in image px on the whole of faces68_300w/test_public, ground-truth boxes, weights of the last
epoch. A finished or interrupted run is not trained again. `--quick` draws its own faces and their two protocols.

Figures: nme_LABELS_SEED_ROW, and nme_LABELS_SEED_joint after stage 1; the record has each row's difference to the
control with its 95 % interval over images.
"""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import accuracy_plot, cnt_data, refresh_data
from benchmarks.faces_options import options
from benchmarks.record import print_figures, write_result
from benchmarks.refresh_runs import rounds_of, train_one
from lmdeploy.dataset import read_unlabelled
from training import job, recipe
from training.recipe import Recipe

ROWS = ("control", "cnt", "pooled")
OURS, THEIRS = "ibug68@300w", "ibug68@faces68"


@dataclasses.dataclass(frozen=True, slots=True)
class Lengths:
    """joint, fine: image-steps of the stages; the other rows take their sum. oversample: least length of a list.

    size: crop side, px. lr: of random weights; stage 2 has it too, on the head alone.
    """

    joint: int
    fine: int
    oversample: int
    size: int
    batch: int
    lr: float = 2e-3


FULL = Lengths(joint=27_000, fine=9_000, oversample=900, size=128, batch=32)
QUICK = Lengths(joint=384, fine=128, oversample=64, size=64, batch=16)


def request(case: cnt_data.Case, row: str, lengths: Lengths) -> job.Request:
    """The run of one row."""
    about: dict[str, Any] = {"data": case.ours, "out": case.out / row, "evaluate": case.test, "seed": case.seed}
    about |= {"boxes": "file", "device": "cpu"}
    if row == "cnt":
        made = _cnt(lengths, len(read_unlabelled(case.ours)) + len(read_unlabelled(case.theirs)))
        return job.Request(recipe=made, schema=OURS, also=((case.theirs, THEIRS),), **about)
    if row == "pooled":
        about["data"] = case.pooled
    return job.Request(recipe=_supervised(lengths, row, len(read_unlabelled(about["data"]))), **about)


def _supervised(lengths: Lengths, row: str, images: int) -> Recipe:
    epoch = max(images, lengths.oversample)
    epochs = _epochs(lengths.joint + lengths.fine, epoch)
    return _recipe(lengths, row, "supervised", {"epochs": epochs, "decay_at": [], "oversample": lengths.oversample})


def _cnt(lengths: Lengths, union: int) -> Recipe:
    options = {
        "epochs": _epochs(lengths.joint, max(union, lengths.oversample)), "oversample": lengths.oversample,
        "fine_epochs": _epochs(lengths.fine, lengths.oversample), "fine_oversample": lengths.oversample,
    }  # fmt: skip
    return _recipe(lengths, "cnt", "cross_protocol", options)


def _epochs(steps: int, epoch: int) -> int:
    return max(math.ceil(steps / epoch), 1)


def _recipe(lengths: Lengths, row: str, method: str, options: dict[str, Any]) -> Recipe:
    base = recipe.load("face68")
    changes = {
        "method": method, "name": f"cnt-faces-{row}", "options": options,
        "crop": base.crop.model_copy(update={"size": lengths.size}),
        "schedule": base.schedule.model_copy(update={"batch": lengths.batch, "lr": lengths.lr}),
    }  # fmt: skip
    return recipe.checked(base.model_copy(update=changes), "cnt_faces")


def main(arguments: Iterable[str] | None = None) -> None:
    """Train what is missing; write the record and the picture in full mode."""
    parser = options(__doc__, "cnt_faces")
    parser.add_argument("--labels", nargs="+", default=["60", "240"], help="20, 60, 120, 240 or all")
    given = parser.parse_args(list(arguments) if arguments is not None else None)
    if given.quick:
        with tempfile.TemporaryDirectory() as folder:
            execute([cnt_data.drawn(Path(folder))], QUICK, given.workers, None)
        return
    seeds = [1234 + i for i in range(given.seeds)]
    cases = [cnt_data.real(given.shared, given.out, labels, seed) for labels in given.labels for seed in seeds]
    execute(cases, FULL, given.workers, given.out)


def execute(cases: list[cnt_data.Case], lengths: Lengths, workers: int, out: Path | None) -> None:
    """All runs of all cases; with `out`, the record and the picture."""
    asked = {(case, row): request(case, row, lengths) for case in cases for row in ROWS}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for (case, row), _ in zip(asked, pool.map(train_one, asked.values()), strict=True):
            print(f"{case.name} {row}: {rounds_of(case.out / row)}", flush=True)  # noqa: T201 - how far it has come
    tables = {case.name: _table(case) for case in cases}
    figures = {
        f"nme_{name.replace('/', '_')}_{'joint' if stage == 'joint' else row}": value
        for name, table in tables.items()
        for row, rounds in table["rounds"].items()
        for stage, value in rounds.items()
    }
    options = {f"{case.name} {row}": asked[case, row].recipe.options for case, row in asked}
    if out is not None:
        accuracy_plot.bars(tables, out / "cnt_faces.png")
        details = {
            "setting": "reduced setting, not comparable with the paper", "tables": tables,
            "lengths": dataclasses.asdict(lengths), "options": options,
            "weights": "random start", "frame": "image", "boxes": "gt",
            "test_images": len(read_unlabelled(cases[0].test)),
        }  # fmt: skip
        write_result("cnt_faces", figures, details, sorted({case.seed for case in cases}))
    print_figures(figures)


def _table(case: cnt_data.Case) -> dict[str, Any]:
    against = {row: refresh_data.difference(case.out / row, case.out / "control", case.test) for row in ROWS[1:]}
    return {"rounds": {row: rounds_of(case.out / row) for row in ROWS}, "minus_control": against}


if __name__ == "__main__":
    main()
