"""`lmdeploy export CHECKPOINT -o BUNDLE`."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import click


@click.command()
@click.argument("checkpoint", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Bundle folder to make.")
@click.option(
    "--images", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Real images for parity."
)
@click.option(
    "--measured", type=click.Path(exists=True, path_type=Path), multiple=True, help="JSON of 'lmdeploy evaluate'."
)
@click.option("--name", help="Name of the model; default the recipe's.")
@click.option("--note", type=click.File(encoding="utf-8"), help="Markdown for the model card (data, rights).")
def export(
    checkpoint: Path,
    out: Path,
    images: Path | None,
    measured: tuple[Path, ...],
    name: str | None,
    note: TextIO | None,
) -> None:
    """Turn a CHECKPOINT (file, run folder or bundle) into a bundle: one ONNX file and all that describes it.

    PyTorch and ONNX Runtime are compared on the images; where they differ too much nothing is written (exit code 3).
    """
    from export.measured import read_measured
    from export.package import package

    done = package(checkpoint, out, images, read_measured(measured), name, note.read() if note else "")
    click.echo(done.parity.sentence(), err=True)
    click.echo(f"{done.bundle.path}")
