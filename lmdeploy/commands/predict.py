"""`lmdeploy predict`: landmarks of images, videos and cameras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lmdeploy.commands.running import running_options

OUT = (
    "Output, told from its name: .csv (a row a face), .long.csv (a row a landmark), .ndjson, .json (COCO keypoints), "
    ".parquet, .mp4 or a folder/ (annotated pictures), '-' (NDJSON on standard output). Several may be given."
)

ABOVE_0 = click.FloatRange(0, min_open=True)
CUTOFF = "Hz. Higher: a face at rest trembles more, slow motion lags less."
BETA = "Hz per face size a second. Higher: less lag in motion, more trembling in it."
SPEED_CUTOFF = "Hz. Higher: a sudden motion is followed sooner, noise is taken for motion more often."


@click.command()
@click.argument("source", nargs=-1, required=True, metavar="[NAME=]SOURCE...")
@click.option("--model", default="face68", show_default=True, help="Bundle folder, built-in name or checkpoint.")
@click.option("--schema", "landmarks", help="Whose landmarks, where the model finds those of several schemas.")
@click.option("--site", type=click.Path(path_type=Path), help="Serve this site's champion, through promotions.")
@click.option("--detector", type=click.Choice(["haar", "yunet", "whole"]), default="haar", show_default=True)
@click.option("--yunet", type=click.Path(path_type=Path), help="YuNet's model file, for --detector yunet.")
@click.option("-o", "--out", multiple=True, metavar="NAME", help=OUT)
@click.option("--csv", type=click.Path(path_type=Path), help="Wide CSV of (smoothed) points, one row a face.")
@click.option("--ndjson", help="One JSON object a face and line; '-' is standard output (the default output).")
@click.option("--save", type=click.Path(path_type=Path), help="Annotated pictures: a folder, or one source's .mp4.")
@click.option("--smooth/--no-smooth", default=True, show_default=True, help="One-Euro filter on streams.")
@click.option("--smooth-cutoff", type=ABOVE_0, default=1.0, show_default=True, help=CUTOFF)
@click.option("--smooth-beta", type=click.FloatRange(0), default=25.0, show_default=True, help=BETA)
@click.option("--smooth-speed-cutoff", type=ABOVE_0, default=2.5, show_default=True, help=SPEED_CUTOFF)
@running_options
@click.option("--max-faces", type=click.IntRange(1), help="Default: all faces of an image, one of a stream.")
@click.option("--detect-every", type=click.IntRange(0), default=30, show_default=True, help="Frames; look for more.")
@click.option("--min-score", type=click.FloatRange(0, 1), default=0.4, show_default=True, help="Below it: face lost.")
@click.option("--show", is_flag=True, help="On the screen: in a window where OpenCV has one, else in the browser.")
@click.option("--pose", is_flag=True, help="Yaw, pitch and roll of heads, in CSV, NDJSON, Parquet and pictures.")
@click.option(
    "--give-up", "give_up_s", type=click.FloatRange(0), help="Seconds until a lost live source ends; default: never."
)
def predict(**given: Any) -> None:
    """Find landmarks in SOURCE, or in several side by side.

    SOURCE is an image, a folder, a quoted pattern ('shots/*.jpg'), a list.txt, a video, a camera's number or an
    rtsp:// address. Faces are detected once and then followed; what was broken is listed at the end (exit code 2).

    Of several sources every row names its own, by NAME or as it was typed; --save takes a folder, with a file of each.
    One that cannot be opened is told and the others go on; a camera or stream is tried again.
    """
    from lmdeploy.predict import PredictOptions, describe, predict_source, raise_if_incomplete

    given["detector"] = {"whole": "whole_image"}.get(given["detector"], given["detector"])
    summary = predict_source(PredictOptions(**given), lambda sentence: click.echo(sentence, err=True))
    click.echo(describe(summary), err=True)
    raise_if_incomplete(summary)
