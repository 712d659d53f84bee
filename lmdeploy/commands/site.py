"""`lmdeploy site`: make a site, collect, refresh, look, roll back."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

import click

from lmdeploy.errors import DataError, InputError

FOLDER = click.Path(path_type=Path, file_okay=False)
SITE = click.argument("folder", metavar="DIR", type=FOLDER)
DIGEST = re.compile(r"\b([0-9a-f]{16})[0-9a-f]{48}\b")  # people are shown the first 16 digits
AS_JSON = click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")


@click.group()
def site() -> None:
    """Let a model keep learning where it runs, behind a gate that never serves a worse one."""


@site.command()
@SITE
@click.option("--bundle", required=True, help="Factory model: a bundle folder or a built-in name (face68).")
@click.option("--anchor", required=True, type=FOLDER, help="Labelled folder; half trains, half is the gate.")
@click.option("--quota-mb", type=click.FloatRange(0, min_open=True), default=2000, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the split, the choice of frames and the training.")
@click.option("--recipe", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="TOML for training.")
def init(folder: Path, **options: Any) -> None:
    """Make the site DIR; nothing is collected until asked for."""
    from lmdeploy.site.init import init_site

    for line in init_site(folder, **options).lines():
        click.echo(line, err=True)


@site.command()
@SITE
@click.argument("source", required=False)
@click.option("--on", "switch", flag_value="on", help="Let serving processes collect, too.")
@click.option("--off", "switch", flag_value="off", help="Forbid all collecting until --on.")
@click.option("--detector", type=click.Choice(["haar", "yunet", "whole_image"]), default="haar", show_default=True)
@click.option("--yunet", type=click.Path(path_type=Path), help="YuNet's ONNX file, for --detector yunet.")
@click.option("--every", type=click.IntRange(1), default=1, show_default=True, help="Take each N-th frame.")
def collect(folder: Path, source: str | None, switch: Literal["on", "off"] | None, **options: Any) -> None:
    """Store frames of SOURCE in DIR: calling this is the consent, for this source alone."""
    from lmdeploy.site.collect import collect_source
    from lmdeploy.site.config import set_collecting

    if switch:
        set_collecting(folder, switch)
    elif source is None:
        raise InputError("give a SOURCE to collect from, or --on or --off")
    if source is not None:
        tally, problems = collect_source(folder, source, **options)
        click.echo(tally.sentence(), err=True)
        if problems:
            raise DataError(f"{source}: {len(problems)} parts cannot be read; the rest is collected", problems)


@site.command()
@SITE
@click.option("--threads", type=click.IntRange(1), help="Processor threads of training and gate.")
def refresh(folder: Path, threads: int | None) -> None:
    """Train on what DIR collected and promote the result if it is shown to be better (else exit code 3).

    The same call goes on where a killed one stopped.
    """
    from lmdeploy.site.refresh import check_outcome
    from lmdeploy.site.refresh import refresh as run

    state = run(folder, threads=threads, tell=lambda piece: click.echo(piece, nl=False, err=True))
    check_outcome(state)
    click.echo(f"refresh {state.number:03d} promoted {state.candidate[:16]}: {state.reason}", err=True)


@site.command()
@SITE
@AS_JSON
def status(folder: Path, as_json: bool) -> None:
    """What DIR serves and stores, and how its last refresh stands."""
    from lmdeploy.site.report import status as read

    values = read(folder)
    if as_json:
        click.echo(json.dumps(values, indent=1))
    else:
        _table("site", [(name, value) for name, value in values.items() if name != "refresh"])
        _table("last refresh", list((values["refresh"] or {}).items()))


@site.command()
@SITE
def promote(folder: Path) -> None:
    """Accept the newest candidate of a DIR that only proposes: a person's decision, kept in the log."""
    from lmdeploy.site.refresh import accept

    click.echo(f"{accept(folder).digest[:16]} serves now", err=True)


@site.command()
@SITE
def rollback(folder: Path) -> None:
    """Serve the model of before again, verified; the present one is not promoted again."""
    from lmdeploy.site.registry import rollback as back

    click.echo(f"{back(folder).digest[:16]} serves again", err=True)


@site.command()
@SITE
@AS_JSON
def history(folder: Path, as_json: bool) -> None:
    """Every event of DIR since its beginning."""
    from lmdeploy.site.report import history as read

    events = read(folder)
    if as_json:
        click.echo(json.dumps(events, indent=1))
    else:
        _table("history", [(f"{e['n']} {e['time']} {e['event']}", json.dumps(e["data"])) for e in events])


@site.command()
@SITE
def verify(folder: Path) -> None:
    """Check log, bundles, anchor, frames and the records of every refresh of DIR."""
    from lmdeploy.site.report import verify as check

    click.echo(f"all as written: {check(folder)} events", err=True)


def _table(title: str, rows: list[tuple[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, show_header=False)
    for name, value in rows:
        table.add_row(name, "-" if value in (None, "") else DIGEST.sub(r"\1", str(value)))
    if rows:
        Console(stderr=True).print(table)
