"""`lmdeploy train METHOD|RECIPE`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("method")
@click.option("--data", required=True, type=FOLDER, help="Labelled folder: images/ and landmarks.csv.")
@click.option("--labelled", help="Number of images, or a file of image names; the rest counts as unlabelled.")
@click.option(
    "--also",
    multiple=True,
    type=(FOLDER, str),
    metavar="FOLDER SCHEMA",
    help="A further data set (cross_protocol); SCHEMA@NAME where two have the same. May be repeated.",
)
@click.option("--unlabelled", multiple=True, type=FOLDER, help="Folder of unlabelled images; may be repeated.")
@click.option("--init", type=click.Path(path_type=Path), help="Start from this bundle or checkpoint.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Run folder; default runs/METHOD-DATA-LABELLED. A call goes on in it.",
)
@click.option("--eval", "evaluate", type=FOLDER, help="Labelled folder to measure every round on.")
@click.option("--schema", default="ibug68", show_default=True, help="Landmark schema: a name or a TOML file.")
@click.option(
    "--boxes",
    default="haar",
    show_default=True,
    help="Boxes of unlabelled images: haar, yunet, whole_image, file, gt.",
)
@click.option("--yunet", type=click.Path(exists=True, path_type=Path), help="YuNet model file.")
@click.option("--seed", default=1234, show_default=True, help="Of the labelled draw, the weights and every epoch.")
@click.option("--threads", type=click.IntRange(1), help="Processor threads of each process; default all.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to train; auto: the GPU where there is one.",
)
@click.option(
    "--devices",
    type=click.IntRange(1),
    help="Processes here, one GPU each; batches add up. Not with torchrun or srun.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "32", "bf16"]),
    default="auto",
    show_default=True,
    help="32, or mixed with bf16; auto: bf16 where the device multiplies it natively.",
)
@click.option("--compile", "compiled", is_flag=True, help="Compile the network: minutes first, then faster steps.")
@click.option("--licence", default="not stated", show_default=True, help="Licence of the data, kept in the model.")
@click.option("--dry-run", is_flag=True, help="Print the expected time and memory, train nothing.")
def train(method: str, threads: int | None, dry_run: bool, **options: Any) -> None:
    """Train METHOD (supervised, stld, fixmatch, ...) or a RECIPE (a name or a TOML file).

    The same call goes on where a killed run stopped. The run folder explains itself: run.md (what and how well),
    recipe.toml (every setting, to train with again), run.json (versions, commit, hashes of the data), metrics.csv,
    tensorboard/, every set of pseudo-labels, and model.safetensors.
    """
    from training import start

    start.train(method, threads, dry_run, options)
