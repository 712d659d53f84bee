"""`lmdeploy data`: look after data sets."""

from __future__ import annotations

from pathlib import Path

import click

from lmdeploy.atomic import write_file
from lmdeploy.check import check_folder
from lmdeploy.dataset import read_labelled
from lmdeploy.errors import DataError
from lmdeploy.published import check_set, make_set, open_set
from lmdeploy.schema import load_schema
from lmdeploy.sheet import show_folder, show_set, write_sheet
from lmdeploy.split import draw
from lmdeploy.user_weights import convert_weights

SCHEMA = click.option(
    "--schema", default="ibug68", show_default=True, help="Landmark schema: a built-in name or a TOML file."
)


@click.group()
def data() -> None:
    """Look after data sets."""


@data.command()
@click.argument("data", metavar="DATA|NAME")
@click.argument("root", required=False, type=click.Path(path_type=Path))
@click.option("--split", "splits", multiple=True, help="Split of the published set; may be repeated; default all.")
@SCHEMA
def check(data: str, root: Path | None, splits: tuple[str, ...], schema: str) -> None:
    """Read every row and decode every image; name all that are broken in one list.

    DATA is a labelled folder (images/ and landmarks.csv) or a plain folder of images. NAME ROOT is a published data
    set (300w, wflw, aflw, ...) and your copy of it, whose counts are compared with the official ones.
    """
    if root is None:
        samples = check_folder(data, load_schema(schema)).checked()
        labelled = sum(sample.points is not None for sample in samples)
        click.echo(f"{data}: {len(samples)} images can be read, {labelled} of them labelled", err=True)
        return
    report = check_set(open_set(data), root, splits, lambda line: click.echo(line, err=True))
    if report.problems:
        raise DataError(f"{root}: {len(report.problems)} things to mend", report.problems)


@data.command()
@click.argument("name", metavar="blocks|shapes")
@click.argument("out", type=click.Path(path_type=Path))
def make(name: str, out: Path) -> None:
    """Draw a data set that needs no copy: figures with landmarks and classes, split into train, valid and test.

    Then: lmdeploy train seq_mt/blocks_5/seq_mt_l_elt_a --data OUT
    """
    make_set(name, out)
    click.echo(f"{out}: {name}", err=True)


@data.command()
@click.argument("data", metavar="DATA|NAME")
@click.argument("root", required=False, type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="PNG file to write.")
@click.option("--split", help="Split of the published set; default its first.")
@click.option("--count", type=click.IntRange(1, 500), default=24, show_default=True, help="Samples on the sheet.")
@SCHEMA
def show(data: str, root: Path | None, out: Path, split: str | None, count: int, schema: str) -> None:
    """Draw a sheet of crops with their points: flip pairs in two colours, lines along the skeleton.

    DATA is a folder of your own; NAME ROOT is a published data set (300w, wflw, aflw, ...) and your copy of it.
    """
    sheet = show_folder(data, schema, count) if root is None else show_set(data, root, split, count, schema)
    write_sheet(out, sheet)
    click.echo(f"{out}: {sheet.shown} samples", err=True)
    if sheet.problems:
        raise DataError(f"{len(sheet.problems)} images are not on the sheet", sheet.problems)


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


@data.command("convert-weights")
@click.argument("source", metavar="IN.pth", type=click.Path(path_type=Path))
@click.argument("out", metavar="OUT.safetensors", type=click.Path(path_type=Path))
def convert(source: Path, out: Path) -> None:
    """Turn a PyTorch state dict into safetensors, which a recipe's network.pretrained can name.

    No code in the file is run; one that cannot be read without is refused. What training wrappers put before the names
    (module., backbone., state_dict) is taken off.
    """
    click.echo(f"{out}: {convert_weights(source, out)} tensors", err=True)
