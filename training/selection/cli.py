"""`lmdeploy select FOLDER`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

PATH = click.Path(path_type=Path)
BOXES = ["haar", "yunet", "whole_image", "file"]


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default="face68", show_default=True, help="Bundle folder, built-in name or checkpoint.")
@click.option(
    "--strategy",
    type=click.Choice(["nnm", "entropy", "k-center", "random"]),
    default="nnm",
    show_default=True,
    help="What makes an image worth annotating; entropy and k-center need weights and PyTorch.",
)
@click.option("--count", type=click.IntRange(1), default=50, show_default=True, help="Images to choose.")
@click.option(
    "--discard",
    type=click.FloatRange(0, 1, max_open=True),
    help="Share of the hardest images to leave out as outliers; default 0.1 for nnm and entropy, else 0.",
)
@click.option(
    "--labelled",
    type=click.Path(exists=True, path_type=Path),
    help="List or folder of images that have labels already.",
)
@click.option("--boxes", type=click.Choice(BOXES), default="haar", show_default=True, help="Where to find the faces.")
@click.option("--yunet", type=PATH, help="YuNet's model file, for --boxes yunet.")
@click.option("--seed", default=1234, show_default=True, help="Of the random order.")
@click.option("--out", type=PATH, help="Folder for the results; default runs/select-FOLDER.")
@click.option("--threads", type=click.IntRange(1), help="Threads of the network; default: cores, at most 4.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
def select(**given: Any) -> None:
    """Choose the images of FOLDER that are most worth annotating: those a model is least sure of.

    FOLDER holds images, or images/ and boxes.csv. Names of the chosen images go to standard output, best first, and
    with their values and a picture into the folder --out: selected.txt (for `lmdeploy train --labelled`, once these
    images are annotated), scores.csv and sheet.jpg. Images that cannot be read are listed at the end (exit code 2).
    """
    from training.selection.folder import SelectOptions, describe, raise_if_incomplete, select_folder

    given["strategy"] = given["strategy"].replace("-", "_")
    selected = select_folder(SelectOptions(**given))
    click.echo(describe(selected), err=True)
    click.echo("\n".join(selected.names))
    raise_if_incomplete(selected)
