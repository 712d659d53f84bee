"""What several sources of one run are called: NAME=SOURCE, or by themselves."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lmdeploy.errors import InputError
from lmdeploy.video.connect import shown

WITH_NAME = re.compile(r"(\w[\w.-]*)=(.+)", re.DOTALL)  # no address begins like that, but a file may
EXAMPLE = "door=rtsp://host/1 yard=rtsp://host/2"


@dataclass(frozen=True, slots=True)
class Named:
    """One of several sources.

    text: as lmdeploy.video.source.open_source takes it. name: in rows, of this source alone. given: the user chose it.
    """

    text: str
    name: str
    given: bool


def named(texts: Sequence[str]) -> list[Named]:
    """Sources with their names: NAME=SOURCE gives one, else it is the text itself, without a password.

    A file that is really called so, with its equals sign, is that file. Errors: InputError for two of one name.

    >>> [source.name for source in named(["door=rtsp://host/1", "rtsp://me:secret@host/2?key=3", "0", "a/clip.mp4"])]
    ['door', 'rtsp://host/2', 'camera0', 'a/clip.mp4']
    """
    sources = [_named(text) for text in texts]
    names = [source.name for source in sources]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"two sources are called {twice}: give each a name of its own, such as {EXAMPLE}")
    return sources


def _named(text: str) -> Named:
    found = WITH_NAME.fullmatch(text)
    if found is None or Path(text).exists() or _is_pattern(text):
        return Named(text, _name(text), given=False)
    return Named(found[2], found[1], given=True)


def _name(text: str) -> str:
    if text.isdecimal():
        return f"camera{int(text)}"
    return shown(text) if "://" in text else text


def _is_pattern(text: str) -> bool:
    return glob.has_magic(text) and bool(glob.glob(text))  # noqa: PTH207  # Path.glob refuses absolute patterns
