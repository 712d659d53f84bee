"""Every command that pyproject names exists, says what it does, and is thin."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import click
import pytest

from lmdeploy.cli import cli

ROOT = Path(__file__).resolve().parents[2]
POINTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
NAMES = sorted(POINTS["lmdeploy.commands"])
LIGHT = {"click", "lmdeploy", "__future__"}


def every_command(name):
    """The command of that name and all below it, each with its words."""
    command = cli.get_command(click.Context(cli), name)
    todo = [((name,), command)]
    while todo:
        words, command = todo.pop()
        yield words, command
        if isinstance(command, click.Group):
            todo += [((*words, n), sub) for n, sub in command.commands.items()]


def test_the_installed_commands_are_those_of_pyproject():
    """Installed entry points are noted at install time: run pip install -e . again after a change."""
    assert cli.list_commands(click.Context(cli)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help(name):
    for words, command in every_command(name):
        assert command.help, words
        assert command.get_short_help_str(), words


def test_command_files_import_light_at_the_top():
    import sys

    for file in (ROOT / "lmdeploy" / "commands").glob("*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = name.partition(".")[0]
                assert top in LIGHT or top in sys.stdlib_module_names, f"{file.name} imports {name} at the top"


@pytest.mark.parametrize("name", NAMES)
def test_every_command_stands_in_the_readme(name):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for words, command in every_command(name):
        if not isinstance(command, click.Group):
            assert f"lmdeploy {' '.join(words)}" in readme, f"README.md does not show 'lmdeploy {' '.join(words)}'"
