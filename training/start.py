"""What `lmdeploy train` calls: starts the processes, guards the run folder, then trains or estimates."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import click
import torch

from training import estimate, job, recipe, run_folder
from training.engine import devices, launch
from training.engine.predictor import pick_device


def train(method: str, threads: int | None, dry_run: bool, options: dict[str, Any]) -> None:
    """Run or estimate one training; `options` are the fields of job.Request but its recipe."""
    speaks = devices.launched().rank == 0
    logging.basicConfig(level=logging.INFO if speaks else logging.ERROR, format="%(message)s")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # what Fabric and child processes go by
        torch.set_num_threads(threads)
    out = options.pop("out") or default_out(method, options["data"], options["labelled"])
    request = job.Request(recipe=recipe.load(method), out=out, **options)
    if dry_run:
        click.echo(estimate.estimate(request).sentence(), err=True)
        return
    if (request.devices or 1) > 1 and devices.launched().world == 1:
        devices.enough_devices(pick_device(request.device), request.devices or 1)
        sys.exit(launch.launch(request.devices or 1, threads))
    _train(request)


def default_out(method: str, data: Path, labelled: str | None) -> Path:
    """runs/RECIPE-DATA-LABELLED: the same call finds the same folder, and so goes on."""
    # a published cell's folder says which ratio it is
    name = Path(method).stem if method.endswith(".toml") else method.replace("/", "-")
    parts = [name, data.resolve().name, *([Path(labelled).stem] if labelled else [])]
    return Path("runs") / "-".join(parts)


def _train(request: job.Request) -> None:
    """Train in this process, alone or as one of several."""
    first = devices.launched().rank == 0
    if launch.WATCHED in os.environ:
        launch.watch_launcher()
    if first:
        run_folder.claim(request)
    try:
        file = job.run(request, _tell)
    except RuntimeError as error:
        lost = launch.peer_lost(error)
        if lost is None:
            raise
        if launch.WATCHED in os.environ:
            sys.exit(launch.PEER_LOST)  # the launcher says which process it was
        raise lost from error
    finally:
        _part()
    if first:
        click.echo(f"{file}")


def _part() -> None:
    """Part from the other processes, where there are any."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _tell(note: str) -> None:
    click.echo(note, err=True)
