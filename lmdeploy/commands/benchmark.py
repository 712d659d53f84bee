"""`lmdeploy benchmark`: what a bundle costs on this machine, and how right it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lmdeploy.backends.base import BACKENDS, DEVICES

FILE = click.Path(path_type=Path)
PRECISIONS = click.Choice(["auto", "fp32", "bf16", "fp16", "int8"])


@click.command()
@click.argument("bundle", metavar="BUNDLE")
@click.option("--data", type=FILE, help="Labelled folder: how right each way is, with the true boxes.")
@click.option("--batch", default="1,2,4,8", show_default=True, help="Faces in a frame, for the throughput.")
@click.option("--threads", type=click.IntRange(1), help="Threads of the network; default: cores, at most 4.")
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, help="auto: both.")
@click.option("--backend", type=click.Choice(BACKENDS), default="auto", show_default=True, help="auto: all.")
@click.option("--precision", type=PRECISIONS, default="auto", show_default=True, help="auto: all of the bundle's.")
@click.option("--schema", "schema_name", help="Whose landmarks, where the model finds those of several schemas.")
@click.option("--detector", type=click.Choice(["haar", "yunet", "whole"]), default="haar", show_default=True)
@click.option("--yunet", type=FILE, help="YuNet's model file, for --detector yunet.")
@click.option("--json", "json_to", metavar="FILE|-", help="Write everything as JSON; - is standard output.")
@click.option("--plot", type=FILE, metavar="FILE.png", help="Write a picture of it.")
@click.option("--quick", is_flag=True, help="Short blocks, and at most 32 labelled images.")
def benchmark(json_to: str | None, plot: Path | None, batch: str, **given: Any) -> None:
    """Measure BUNDLE on this machine in every way that it can run: engines, devices, precisions.

    BUNDLE is a bundle folder, the name of a built-in one (face68) or an exported ONNX file. Each way is tried in a
    process of its own, for its memory; those that work then take turns, so that what else the machine does meets all
    alike. What does not work is listed with its reason.
    """
    from lmdeploy.benchmark.output import check_outputs, write_outputs
    from lmdeploy.benchmark.run import run_benchmark
    from lmdeploy.benchmark.table import print_report, watching
    from lmdeploy.benchmark.ways import Options, faces

    given["detector"] = {"whole": "whole_image"}.get(given["detector"], given["detector"])
    check_outputs(json_to, plot)
    with watching() as watch:
        report = run_benchmark(Options(model=given.pop("bundle"), batches=faces(batch), **given), watch)
    print_report(report)
    write_outputs(report, json_to, plot)
