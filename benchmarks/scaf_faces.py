"""SCAF against 3FabRec on real faces with few labels, on one auto-encoder of our own.

    python -m benchmarks.scaf_faces [--quick] [--shared FOLDER] [--labels 60] [--seed 1234] [--rows ...]

    autoencoder     adversarial pretraining on all faces (faces68_300w and the unlabelled frames of faces68), no label
    fabrec          from it, transfer layers alone and then the encoder too, half of the steps each
    fabrec_joint    from it, transfer layers and encoder together, as many steps
    scaf            the same with skip connections
    scaf_random     scaf on an auto-encoder that was never trained: what pretraining gives
    al_random, al_nnm, al_nnm10     scaf's network, the labelled images bought in rounds (50 of all training images);
                    each round is a third of scaf's steps

NME is inter-ocular in image px on the whole test folder, ground-truth boxes, weights of the last epoch. Reduced
setting, not comparable with the paper: 64 px crops, a light network, an auto-encoder of some two thousand faces where
the paper has a million, sub-pixel decoding (its own rule moves by whole pixels of 1/20 of the eyes' distance here).
A finished or interrupted run is not trained again. `--quick` draws its own faces.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from benchmarks import refresh_data, scaf_plot
from benchmarks.faces_options import YUNET
from benchmarks.record import print_figures, write_result
from benchmarks.refresh_runs import rounds_of, train_one
from lmdeploy.dataset import read_unlabelled
from training import job, recipe
from training.models import KINDS
from training.recipe import Recipe

TRAINED = ("fabrec", "fabrec_joint", "scaf", "scaf_random")
BOUGHT: dict[str, dict[str, Any]] = {
    "al_random": {"strategy": "random", "discard": 0.0},
    "al_nnm": {"strategy": "nnm", "discard": 0.0},
    "al_nnm10": {"strategy": "nnm", "discard": 0.1},
}
SIGMA = 7 / 128  # of the maps' side, as published


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    """What all runs share.

    network: fields of both kinds. phases: epochs of the auto-encoder's. steps: image-steps of a landmark training.
    oversample: image-steps of an epoch. budget, buy: final images of active learning, and how many a round.
    """

    network: dict[str, Any]
    phases: tuple[int, int, int]
    critics: dict[str, Any]
    batch: int
    steps: int
    oversample: int
    budget: int
    buy: int
    encoder_lr: float = 2e-4
    pretrain_lr: float = 1e-3


LIGHT = Size(
    {"size": 64, "widths": [32, 64, 96, 128], "blocks": 1}, (20, 10, 10), {"hidden": 256, "widths": [16, 32, 64, 64]},
    batch=32, steps=54_000, oversample=900, budget=50, buy=10,
)  # fmt: skip
TINY = Size(
    {"size": 32, "widths": [8, 8, 8], "blocks": 1, "latent": 16}, (1, 1, 1), {"hidden": 16, "widths": [8, 8]},
    batch=16, steps=192, oversample=32, budget=14, buy=4,
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """Where the data lie and where the runs go; active learning has all of `data` for its pool."""

    data: Path
    labelled: str | None
    unlabelled: tuple[Path, ...]
    test: Path
    yunet: Path | None
    out: Path
    seed: int


def request_of(row: str, case: Case, size: Size) -> job.Request:
    """The run of a row."""
    buys = row in BOUGHT
    alone = row in {"autoencoder", "scaf_random"}
    return job.Request(
        recipe=_recipe(row, case, size), data=case.data, out=case.out / row, labelled=None if buys else case.labelled,
        unlabelled=case.unlabelled if alone else (), evaluate=case.test, yunet=case.yunet, seed=case.seed,
        boxes="yunet" if case.yunet else "whole_image", device="cpu", precision="32",
    )  # fmt: skip


def _recipe(row: str, case: Case, size: Size) -> Recipe:
    """Its recipe; from the auto-encoder's run in all rows but that and scaf_random."""
    method = "active_learning" if row in BOUGHT else "scaf" if row.startswith("scaf") else "fabrec"
    kind = "fabrec" if row.startswith(("fabrec", "autoencoder")) else "scaf"
    epochs = max(size.steps // size.oversample, 2)
    options: dict[str, Any] = {
        "sigma": SIGMA * size.network["size"] / 2, "encoder_lr": size.encoder_lr, "epochs": epochs,
        "oversample": size.oversample, "autoencoder": str((case.out / "autoencoder").resolve()),
    }  # fmt: skip
    if kind == "fabrec":
        half = epochs // 2 if row == "fabrec" else 0
        options |= {"itl_epochs": half, "epochs": epochs - half}
    if row == "autoencoder":
        options |= {"autoencoder": "", "pretraining": _pretraining(size, size.phases), "epochs": 1, "oversample": 0}
    if row == "scaf_random":
        options |= {"autoencoder": "", "pretraining": _pretraining(size, (0, 0, 0))}
    if row in BOUGHT:
        options |= BOUGHT[row] | {"budget": size.budget, "step": size.buy, "epochs": max(epochs // 3, 1)}
    base = recipe.load("face68")
    changes: dict[str, Any] = {
        "method": method, "name": row.replace("_", "-"), "options": options, "codec": "subpixel",
        "crop": base.crop.model_copy(update={"size": size.network["size"]}),
        "network": KINDS[kind].config.model_validate(size.network),
        "schedule": base.schedule.model_copy(update={"batch": size.batch, "lr": 1e-3}),
    }  # fmt: skip
    return recipe.checked(base.model_copy(update=changes), "scaf_faces")


def _pretraining(size: Size, phases: tuple[int, int, int]) -> dict[str, Any]:
    """Larger steps than the published ones, for a thousandth of the images."""
    return {
        "epochs": phases, "batch": size.batch, "lr": size.pretrain_lr, "betas": (0.5, 0.999), "critic_rate": 0.2,
        "critics": size.critics,
    }  # fmt: skip


def train_wide(request: job.Request) -> Path:
    """Train in this process on all cores, for the run that nothing else can start before."""
    logging.basicConfig(level=logging.WARNING)
    torch.set_num_threads(2)
    return job.run(request, lambda note: None)


def execute(case: Case, size: Size, rows: tuple[str, ...], workers: int, record: bool) -> None:
    """The auto-encoder, then all rows; figures, and where asked for pictures and the record."""
    table: dict[str, dict[str, float]] = {}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        pool.submit(train_wide, request_of("autoencoder", case, size)).result()
        for row, run in zip(rows, pool.map(train_one, [request_of(r, case, size) for r in rows]), strict=True):
            table[row] = rounds_of(run.parent)
            say(f"{row}: {_last(table[row]):.3f} %  {table[row]}")
    rec = scaf_plot.reconstruction(case.out / "autoencoder")
    figures = {f"nme_{row}": _last(rounds) for row, rounds in table.items()} | {"reconstruction_grey_levels": rec}
    if record:
        scaf_plot.bars({row: _last(rounds) for row, rounds in table.items()}, case.out / "scaf_faces.png")
        say(f"{write_result('scaf_faces', figures, about(case, size, table), [case.seed])}")
    print_figures(figures)


def about(case: Case, size: Size, table: dict[str, dict[str, float]]) -> dict[str, Any]:
    """What a reader needs to judge the figures."""
    pairs = [("scaf", "fabrec"), ("scaf", "fabrec_joint"), ("scaf", "scaf_random"), ("al_nnm10", "al_random")]
    there = [(a, b) for a, b in pairs if a in table and b in table]
    return {
        "setting": "reduced setting, not comparable with the paper", "rounds": table, "size": dataclasses.asdict(size),
        "difference": {f"{a} - {b}": refresh_data.difference(case.out / a, case.out / b, case.test) for a, b in there},
        "frame": "image", "normaliser": "inter-ocular", "boxes": "gt", "test_images": len(read_unlabelled(case.test)),
        "unlabelled_boxes": "yunet" if case.yunet else "whole_image", "weights": "random start, no ImageNet",
    }  # fmt: skip


def say(line: str) -> None:
    """Print at once, so that a log shows how far a long execution has come."""
    print(line, flush=True)  # noqa: T201


def _last(rounds: dict[str, float]) -> float:
    return list(rounds.values())[-1]


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the asked-for rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="drawn faces, three rows, under 50 s; no record")
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"), help="folder of the real data")
    parser.add_argument("--labels", default="60", help="20, 60, 120 or 240")
    parser.add_argument("--seed", type=int, default=1234)
    parser.add_argument("--rows", nargs="+", default=[*TRAINED, *BOUGHT], choices=[*TRAINED, *BOUGHT])
    parser.add_argument("--workers", type=int, default=2, help="runs at a time")
    parser.add_argument("--out", type=Path, default=Path("runs/scaf_faces"))
    given = parser.parse_args(list(arguments) if arguments is not None else None)
    if given.quick:
        with tempfile.TemporaryDirectory() as folder:
            data = refresh_data.drawn(Path(folder))
            case = Case(data.labelled, None, (data.site,), data.test, None, Path(folder) / "runs", 1234)
            execute(case, TINY, ("fabrec", "scaf", "al_nnm10"), 2, record=False)
        return
    faces, shared = given.shared / "faces68_300w", given.shared
    case = Case(
        faces / "train", str(faces / "splits" / f"labelled_{given.labels}.txt"),
        (shared / "faces68" / "train_unlabelled",), faces / "test_public",
        shared / YUNET, given.out / given.labels / str(given.seed),
        given.seed,
    )  # fmt: skip
    execute(case, LIGHT, tuple(given.rows), given.workers, record=True)


if __name__ == "__main__":
    main()
