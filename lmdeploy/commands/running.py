"""Options of every command that runs a model: on what, in which numbers, with how many threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from lmdeploy.backends.base import BACKEND_HELP, BACKENDS, DEVICES, PRECISION_HELP, PRECISIONS

OPTIONS = (
    click.option("--threads", type=click.IntRange(1), help="Threads of the network; default: cores, at most 4."),
    click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True),
    click.option("--backend", type=click.Choice(BACKENDS), default="auto", show_default=True, help=BACKEND_HELP),
    click.option("--precision", type=click.Choice(PRECISIONS), default="auto", show_default=True, help=PRECISION_HELP),
)


def running_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --threads, --device, --backend and --precision, in this order."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command
