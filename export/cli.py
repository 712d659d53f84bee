"""`lmdeploy export CHECKPOINT -o BUNDLE`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("source", metavar="CHECKPOINT", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Bundle folder to make.")
@click.option("--precision", default="fp32", show_default=True, help="Files to make: fp32,fp16,int8.")
@click.option("--images", type=FOLDER, help="Real images, for parity and int8 ranges.")
@click.option("--data", type=FOLDER, help="Labelled folder: NME of every precision; parity and ranges too.")
@click.option("--held-out", type=FOLDER, help="Labels that training has not seen: scores become probabilities.")
@click.option(
    "--measured", type=click.Path(exists=True, path_type=Path), multiple=True, help="JSON of 'lmdeploy evaluate'."
)
@click.option("--name", help="Name of the model; default the recipe's.")
@click.option("--note", type=click.File(encoding="utf-8"), help="Markdown for the model card (data, rights).")
def export(precision: str, measured: tuple[Path, ...], note: Any, **about: Any) -> None:
    """Turn a CHECKPOINT (file, run folder or bundle) into a bundle: ONNX files and all that describes them.

    PyTorch and ONNX Runtime are compared on the images; where one file differs too much for its precision nothing is
    written (exit code 3). int8 is two files: one for processors, one for TensorRT.
    """
    from export.measured import read_measured
    from export.package import Request, package
    from export.precision import parse

    text = note.read() if note else ""
    request = Request(precisions=parse(precision), measured=read_measured(measured), note=text, **about)
    done = package(request)
    for parity in done.parities:
        click.echo(parity.sentence(), err=True)
    click.echo(f"{done.bundle.path}")
