"""The command itself: how commands are found, how errors end, and what is promised about exit codes."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import click
import pytest
from click.testing import CliRunner

import lmdeploy.cli as cli_file
from lmdeploy import __version__, errors
from lmdeploy.cli import cli, main


def fails_with(error):
    @click.command()
    def failing():
        """Fail."""
        raise error

    return failing


class Point:
    """An entry point whose command the test makes."""

    def __init__(self, name, command, extras=()):
        self.name, self.command, self.extras = name, command, list(extras)

    def load(self):
        return self.command


@pytest.fixture
def offer(monkeypatch):
    """Make one command known, as an installed package would, and call main with it."""

    def call(command, capsys, extras=(), words=("odd",)):
        monkeypatch.setattr(cli_file, "entry_points", lambda group: [Point("odd", command, extras)])
        monkeypatch.setattr(sys, "argv", ["lmdeploy", *words])
        with pytest.raises(SystemExit) as caught:
            main()
        return caught.value.code, capsys.readouterr()

    return call


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InputError("give a folder"), 2),
        (errors.DataError("two broken", ["a", "b"]), 2),
        (errors.BundleError("export again"), 2),
        (errors.GateRefusedError("not better"), 3),
        (errors.DeviceError("no cuda"), 4),
        (errors.MissingExtraError("pip install"), 2),
        (click.UsageError("no such option"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_error_has_its_exit_code_and_no_traceback(offer, capsys, error, code):
    found, printed = offer(fails_with(error), capsys)
    assert found == code
    assert printed.out == ""
    if code in (3, 4) or isinstance(error, errors.InputError):
        assert printed.err.startswith(f"error: {error}")
    assert "Traceback" not in printed.err


def test_a_bug_keeps_its_traceback(offer, capsys):
    with pytest.raises(ZeroDivisionError):
        offer(fails_with(ZeroDivisionError("bug")), capsys)


@pytest.mark.parametrize(("value", "code"), [(None, 0), (3, 3), ("text", 0)])
def test_a_command_may_return_its_exit_code(offer, capsys, value, code):
    @click.command()
    def fine():
        """Do well."""
        return value

    assert offer(fine, capsys)[0] == code


def test_a_missing_package_becomes_the_install_command(offer, capsys):
    error = ModuleNotFoundError("No module named 'torch'", name="torch.nn")
    code, printed = offer(fails_with(error), capsys, extras=["train", "export"])
    assert code == 2
    assert "'lmdeploy odd' needs torch.nn: pip install 'landmark-deploy[train,export]'" in printed.err


@pytest.mark.parametrize(("name", "extras"), [("lmdeploy.gone", ["train"]), ("training.x", ["train"]), ("torch", [])])
def test_a_missing_module_of_ours_is_a_bug_not_a_missing_extra(offer, capsys, name, extras):
    with pytest.raises(ModuleNotFoundError):
        offer(fails_with(ModuleNotFoundError("gone", name=name)), capsys, extras=extras)


def test_an_unknown_command_is_a_usage_error():
    done = CliRunner().invoke(cli, ["fly"])
    assert done.exit_code == 2
    assert "No such command 'fly'" in done.stderr


def test_version_and_help():
    assert __version__ in CliRunner().invoke(cli, ["--version"]).stdout
    done = CliRunner().invoke(cli, ["-h"])
    assert done.exit_code == 0
    assert "evaluate" in done.stdout


def test_commands_come_from_the_entry_point_group(monkeypatch):
    asked = []

    def points(group):
        asked.append(group)
        return [EntryPoint("b", "x:y", group), EntryPoint("a", "x:y", group), EntryPoint("b", "z:y", group)]

    monkeypatch.setattr(cli_file, "entry_points", points)
    assert cli.list_commands(click.Context(cli)) == ["a", "b"]
    assert asked == ["lmdeploy.commands"]


def test_as_a_real_process():
    program = "from lmdeploy.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program, "fly"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "No such command" in done.stderr
