"""`lmdeploy analyse RUN...`: the papers' figures from saved runs."""

from __future__ import annotations

from pathlib import Path

import click

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--data", type=FILE, help="Labelled folder: true labels of the images that counted as unlabelled.")
@click.option("--out", type=FILE, default=Path("analysis"), show_default=True, help="Folder for pictures and numbers.")
@click.option("--figure", help="Only this one: density, noise, offsets, ..., or its number, as fig2 or table6.")
@click.option("--plan", help="Train nothing and draw nothing: print the commands whose runs this figure needs.")
def analyse(runs: tuple[str, ...], data: Path | None, out: Path, figure: str | None, plan: str | None) -> None:
    """Draw the figures of STLD's study that the given run folders allow, and say what the others lack.

    With --plan, RUN... are recipes instead (one a model); their variants are written into --out.
    """
    from training.analysis import report

    if plan:
        click.echo("\n".join(report.plan(plan, runs, data, out)))
        return
    done = report.analyse([Path(run) for run in runs], data, out, figure)
    for note in done.notes:
        click.echo(f"note: {note}", err=True)
    for name, why in done.missing.items():
        click.echo(f"not possible: {name}: {why}", err=True)
    click.echo("\n".join(map(str, done.files)))
