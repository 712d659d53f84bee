"""`lmdeploy demo`: the main job on a real portrait, with nothing else installed."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo-output"), show_default=True)
@click.option("--model", default="face68", show_default=True, help="Bundle folder, built-in name or checkpoint.")
@click.option("--threads", type=click.IntRange(1), help="Threads of the network; default: cores, at most 4.")
@click.option("--seconds", type=click.FloatRange(0.2, 60), default=10, show_default=True, help="Length of the video.")
def demo(out: Path, model: str, threads: int | None, seconds: float) -> None:
    """Move a real portrait into a video, follow its face, and measure it.

    Leaves portrait.mp4 (the input), demo.mp4 (annotated), landmarks.csv and sheet.png in the folder, and prints speed,
    latency per stage, error and jitter.
    """
    from lmdeploy.demo import run_demo

    click.echo(f"moving a portrait into {out / 'portrait.mp4'}, then following its face ...", err=True)
    result = run_demo(out, model, threads=threads, seconds=seconds)
    click.echo(result.text())
    click.echo(f"see demo.mp4, sheet.png and landmarks.csv in {out}", err=True)
