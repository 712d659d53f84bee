"""What `lmdeploy train` calls: sets threads, guards the run folder, then trains or estimates."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import click
import torch

from lmdeploy import __version__
from lmdeploy.atomic import write_file
from lmdeploy.errors import InputError
from training import estimate, job, recipe


def train(method: str, threads: int | None, dry_run: bool, options: dict[str, Any]) -> None:
    """Run or estimate one training; `options` are the fields of job.Request but its recipe."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if threads:
        torch.set_num_threads(threads)
    request = job.Request(recipe=recipe.load(method), **options)
    if dry_run:
        click.echo(estimate.estimate(request).sentence(), err=True)
        return
    _claim(request)
    click.echo(f"{job.run(request, _tell)}")


def _tell(note: str) -> None:
    click.echo(note, err=True)


def _claim(request: job.Request) -> None:
    """Write run.json, or check that the run folder belongs to the same request."""
    file: Path = request.out / "run.json"
    about = {"recipe": request.recipe.model_dump(mode="json"), "seed": request.seed, "labelled": request.labelled}
    about |= {"data": str(request.data.resolve()), "unlabelled": [str(p.resolve()) for p in request.unlabelled]}
    about |= {"init": str(request.init), "boxes": request.boxes}
    if not file.is_file():
        versions = {"lmdeploy": __version__, "torch": torch.__version__}
        write_file(file, (json.dumps(about | {"versions": versions}, indent=1, sort_keys=True) + "\n").encode())
        return
    before = json.loads(file.read_text(encoding="utf-8"))
    changed = [key for key, value in about.items() if before.get(key) != value]
    if changed:
        raise InputError(f"{request.out} holds another run ({', '.join(changed)} differ): choose another --out")
