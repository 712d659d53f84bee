"""Every error that lmdeploy raises on purpose, each with the exit code of the command line."""

from __future__ import annotations

from collections.abc import Sequence

OURS = frozenset({"lmdeploy", "training", "export"})


def is_ours(error: ModuleNotFoundError) -> bool:
    """Whether the missing module is one of this project's own: then it is a bug, not an extra to install."""
    return (error.name or "").partition(".")[0] in OURS


LONGEST = 390  # letters of a sentence that quotes a file


def one_line(message: str) -> str:
    """A message on one line: what files say is quoted in it, and a file can say anything, at any length."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in message).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 150]} ... {line[-140:]}"


class LmdeployError(Exception):
    """Base of all errors meant for people: the message says what happened and what to do next."""

    exit_code = 2


class InputError(LmdeployError):
    """A file, a folder, an option or a value given by the user cannot be used."""


class DataError(InputError):
    """Some samples of a data set are broken; `problems` names each with its reason.

    Args:
        summary: one sentence, what was read and what to do.
        problems: one line per broken file or row.
    """

    def __init__(self, summary: str, problems: Sequence[str] = ()) -> None:
        """Join the summary and the list of problems into one message."""
        self.problems = tuple(problems)
        super().__init__("\n  ".join([summary, *self.problems]))


class BundleError(LmdeployError):
    """A bundle is truncated, altered, of a newer schema or of another kind."""

    def __init__(self, message: str) -> None:
        """One line, in whose middle a file's words are cut: what to do stands at the end."""
        super().__init__(one_line(message))


class GateRefusedError(LmdeployError):
    """A gate (export parity, refresh) refused the model; nothing was replaced."""

    exit_code = 3


class DeviceError(LmdeployError):
    """The device or provider that was asked for is not the one in use."""

    exit_code = 4


class MissingExtraError(LmdeployError):
    """An optional dependency is not installed; the message holds the install command."""
