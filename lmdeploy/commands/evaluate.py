"""`lmdeploy evaluate`: the figures of a model on a labelled folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lmdeploy.atomic import check_file, check_place, write_file
from lmdeploy.commands.running import running_options
from lmdeploy.evaluate import evaluate_folder
from lmdeploy.evaluation_table import print_evaluation, working
from lmdeploy.model import open_model
from lmdeploy.plots import write_plots

FILE = click.Path(path_type=Path)
BOXES = click.Choice(["gt", "file", "haar", "yunet", "whole_image"])


@click.command()
@click.argument("model")
@click.option("--data", type=FILE, required=True, help="Labelled folder: images/ and landmarks.csv.")
@click.option("--schema", help="Whose landmarks the folder has, where the model finds those of several schemas.")
@click.option("--boxes", type=BOXES, default="gt", show_default=True, help="Where the boxes to crop come from.")
@click.option("--yunet", type=FILE, help="YuNet's ONNX file, for --boxes yunet.")
@click.option(
    "--frame", type=click.Choice(["image", "crop"]), default="image", show_default=True, help="Pixels of what."
)
@click.option(
    "--normaliser", help="Another than the schema's own: inter-pupil for ibug68, 'wrist width 1-5' for hand37."
)
@click.option("--threshold", default=10.0, show_default=True, help="Of FR and AUC, % of the normaliser.")
@click.option("--subset", help="Only a part of the points counts: ibug49 (300-VW's) or inner51, both of ibug68.")
@click.option("--json", "json_to", metavar="FILE|-", help="Write the figures as JSON; - is standard output.")
@click.option("--plots", type=FILE, help="Folder for the cumulative error curve and a sheet of the worst cases.")
@running_options
def evaluate(model: str, data: Path, json_to: str | None, plots: Path | None, **how: Any) -> None:
    """Measure MODEL on labelled images: NME, failure rate, AUC and the error of every landmark.

    MODEL is a checkpoint, a bundle folder or the name of a built-in bundle (face68).
    """
    if json_to not in (None, "-"):
        check_file(Path(json_to))
    if plots:
        check_place(plots / "ced.png")
    names = ("threads", "device", "backend", "precision", "schema")
    opened = open_model(model, **{name: how.pop(name) for name in names})
    with working():
        outcome, result = evaluate_folder(opened, data, **how)
    print_evaluation(result, opened.spec.landmarks.names)
    if plots:
        write_plots(outcome, result, plots)
    if json_to == "-":
        click.echo(result.to_json(), nl=False)
    elif json_to:
        write_file(json_to, result.to_json().encode())
