"""The `lmdeploy` command: commands come from the entry-point group `lmdeploy.commands`.

Errors meant for people are printed as one sentence and end with their own exit code (lmdeploy.errors); anything
else is a bug and ends with 1.
"""

from __future__ import annotations

import logging
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from lmdeploy import __version__
from lmdeploy.errors import LmdeployError, MissingExtraError, is_ours

GROUP = "lmdeploy.commands"


class EntryPointGroup(click.Group):
    """A group whose commands are loaded one at a time, when they are called.

    A command's module imports heavy packages only inside the call, so that listing the help stays fast; an import
    that fails during the call becomes the install command of the extras named in the entry point.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands that any installed package offers."""
        return sorted({point.name for point in entry_points(group=GROUP)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, None when no package offers it."""
        point = _find(cmd_name)
        if point is None:
            return None
        command = point.load()
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a missing optional package becomes one sentence."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            point = _find(ctx.invoked_subcommand or "")
            if point is None or not point.extras or is_ours(error):
                raise
            extras = ",".join(point.extras)
            raise MissingExtraError(
                f"'lmdeploy {point.name}' needs {error.name}: pip install 'landmark-deploy[{extras}]'"
            ) from error


def _find(name: str) -> EntryPoint | None:
    return next((point for point in entry_points(group=GROUP) if point.name == name), None)


class _ToPeople(logging.Handler):
    """Plain lines on whatever standard error is at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        click.echo(self.format(record), err=True)


def _show_log() -> None:
    """What the library tells while it works, such as which engine it took, goes to standard error, once."""
    logger = logging.getLogger("lmdeploy")
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _ToPeople) for handler in logger.handlers):
        logger.addHandler(_ToPeople())


@click.group(cls=EntryPointGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lmdeploy")
def cli() -> None:
    """Train, export, run and refresh landmark detectors."""


def main() -> None:
    """Entry point of the console script."""
    _show_log()
    try:
        code = cli.main(standalone_mode=False)
    except LmdeployError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)
