"""`lmdeploy data`: look after data sets."""

from __future__ import annotations

from pathlib import Path

import click

from lmdeploy.atomic import write_file
from lmdeploy.check import check_folder
from lmdeploy.dataset import read_labelled
from lmdeploy.schema import load_schema
from lmdeploy.split import draw

SCHEMA = click.option(
    "--schema", default="ibug68", show_default=True, help="Landmark schema: a built-in name or a TOML file."
)


@click.group()
def data() -> None:
    """Look after data sets."""


@data.command()
@click.argument("folder", metavar="DATA", type=click.Path(path_type=Path))
@SCHEMA
def check(folder: Path, schema: str) -> None:
    """Read every row and decode every image of DATA; name all that are broken in one list.

    DATA is a labelled folder (images/ and landmarks.csv) or a plain folder of images.
    """
    samples = check_folder(folder, load_schema(schema)).checked()
    labelled = sum(sample.points is not None for sample in samples)
    click.echo(f"{folder}: {len(samples)} images can be read, {labelled} of them labelled", err=True)


@data.command()
@click.argument("folder", metavar="DATA", type=click.Path(path_type=Path))
@click.option("--labelled", type=click.IntRange(min=1), required=True, help="Number of labelled images to draw.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed draws the same images.")
@SCHEMA
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Text file for the names.")
def split(folder: Path, labelled: int, seed: int, schema: str, out: Path) -> None:
    """Draw labelled images of DATA by identity and write their names to a list.

    With the same seed a smaller list is the beginning of a larger one. The images that are not in the list count
    as unlabelled.
    """
    names = draw(read_labelled(folder, load_schema(schema)), labelled, seed)
    write_file(out, "".join(f"{name}\n" for name in names).encode())
    click.echo(f"{out}: {len(names)} images", err=True)
