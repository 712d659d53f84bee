"""`lmdeploy export CHECKPOINT -o BUNDLE`, `lmdeploy export BUNDLE --triton DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from export.triton.options import serving_options, take_serving

if TYPE_CHECKING:
    from lmdeploy.bundle import Bundle

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("source", metavar="CHECKPOINT", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Bundle folder to make.")
@click.option("--precision", default="fp32", show_default=True, help="Files to make: fp32,fp16,int8.")
@click.option("--frame", is_flag=True, help="Also files that cut the crops out of whole frames, for GPUs.")
@click.option("--images", type=FOLDER, help="Real crops, or pictures with boxes.csv, for parity and int8 ranges.")
@click.option("--data", type=FOLDER, help="Labelled folder: NME of every precision; parity and ranges too.")
@click.option("--held-out", type=FOLDER, help="Labels that training has not seen: scores become probabilities.")
@click.option(
    "--measured", type=click.Path(exists=True, path_type=Path), multiple=True, help="JSON of 'lmdeploy evaluate'."
)
@click.option("--name", help="Name of the model; default the recipe's.")
@click.option("--note", type=click.File(encoding="utf-8"), help="Markdown for the model card (data, rights).")
@click.option("--triton", type=click.Path(path_type=Path), metavar="DIR", help="Triton model repository to add it to.")
@serving_options
def export(triton: Path | None, **given: Any) -> None:
    """Turn a CHECKPOINT (file, run folder or bundle) into a bundle: ONNX files and all that describes them.

    PyTorch and ONNX Runtime are compared on the images; where one file differs too much for its precision nothing is
    written (exit code 3). int8 is two files: one for processors, one for TensorRT.

    With --triton the bundle becomes models of a Triton model repository, a new one or one that exists; without -o
    CHECKPOINT is then a bundle, served as it is.
    """
    serving = take_serving(given)
    bundle = _served_as_it_is(given["source"], triton) if given["out"] is None else _made(**given)
    if triton is not None:
        from export.triton.repository import add_to_repository

        click.echo(add_to_repository(bundle, triton, serving, given["name"]).sentence(), err=True)
        click.echo(f"{triton}")


def _made(precision: str, measured: tuple[Path, ...], note: Any, **about: Any) -> Bundle:
    from export.measured import read_measured
    from export.package import Request, package
    from export.precision import parse

    text = note.read() if note else ""
    request = Request(precisions=parse(precision), measured=read_measured(measured), note=text, **about)
    done = package(request)
    for parity in done.parities:
        click.echo(parity.sentence(), err=True)
    click.echo(f"{done.bundle.path}")
    return done.bundle


def _served_as_it_is(source: Path, triton: Path | None) -> Bundle:
    from lmdeploy.bundle import read_bundle

    context = click.get_current_context()
    exporting = ("precision", "frame", "images", "data", "held_out", "measured", "note")
    idle = [n for n in exporting if context.get_parameter_source(n) is ParameterSource.COMMANDLINE]
    if triton is None or idle:
        need = "-o BUNDLE, --triton DIR or both" if triton is None else "-o BUNDLE: only an export takes "
        raise click.UsageError(f"give {need}{', '.join('--' + n.replace('_', '-') for n in idle if triton)}")
    return read_bundle(source)
