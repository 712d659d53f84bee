"""Annotated pictures of several sources in a folder: a video of each stream, a picture of a picture, else a folder."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from lmdeploy.errors import InputError
from lmdeploy.types import U8, Landmarks
from lmdeploy.video.frame import Frame
from lmdeploy.video.open_several import Opened
from lmdeploy.video.source import VIDEO_SUFFIXES, ImageFiles
from lmdeploy.writers.base import Sink, unwritable
from lmdeploy.writers.behind import Behind
from lmdeploy.writers.mp4 import Mp4Sink
from lmdeploy.writers.pictures import WRITABLE, ImageSink, write_image

UNFIT = re.compile(r"[^\w.-]+")


class PictureFile:
    """The annotated picture of a source that is a single picture."""

    drawn = True

    def __init__(self, path: Path) -> None:
        """Nothing is written before the picture is there."""
        self._path = path

    def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None) -> None:
        """Write u8[H,W,3] RGB; InputError when it cannot be written."""
        assert picture is not None
        write_image(self._path, picture)

    def close(self) -> None:
        """Nothing is held open."""


class PerSource:
    """Each frame goes to its source's own sink.

    Args:
        sinks: by Frame.source; closed with this one, also where one of them fails.
    """

    def __init__(self, sinks: Mapping[str, Sink]) -> None:
        """Take over open sinks."""
        self.drawn = any(sink.drawn for sink in sinks.values())
        self._sinks = sinks

    def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None) -> None:
        """Hand a frame on; picture: u8[H,W,3] RGB as the sinks take it."""
        self._sinks[frame.source].write(frame, faces, picture)

    def close(self) -> None:
        """Finish all files; a second call does nothing."""
        with ExitStack() as closing:
            for sink in self._sinks.values():
                closing.callback(sink.close)


def files_in(folder: Path, opened: Sequence[Opened]) -> dict[str, Path]:
    """Where each source's annotated pictures go, by the source's name; InputError where two go to one place."""
    places: dict[str, Path] = {}
    taken: dict[str, str] = {}  # names of files that differ in their letters' case alone are one file on some systems
    for one in opened:
        name, file = one.named.name, _file_of(one)
        if (other := taken.setdefault(file.casefold(), name)) != name:
            raise InputError(
                f"{other} and {name} would both be {folder / file}: give one of them a name, such as "
                f"{Path(file).stem}2={one.named.text}"
            )
        places[name] = folder / file
    return places


def open_per_source(folder: Path, opened: Sequence[Opened]) -> PerSource:
    """One annotated file of each source in `folder`; InputError when it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    places = files_in(folder, opened)
    return PerSource({one.named.name: _sink(places[one.named.name], one) for one in opened})


def _sink(path: Path, one: Opened) -> Sink:
    if one.source.stream:
        return Behind(Mp4Sink(path, one.source.rate))
    return PictureFile(path) if _is_one_picture(one) else ImageSink(path)


def _is_one_picture(one: Opened) -> bool:
    return isinstance(one.source, ImageFiles) and list(one.source.paths) == [Path(one.named.text)]


def _file_of(one: Opened) -> str:
    stem = one.named.name if one.named.given else _stem(one.named.text, one.named.name)
    if one.source.stream:
        return f"{stem}.mp4"
    if not _is_one_picture(one):
        return stem
    suffix = Path(one.named.text).suffix
    return stem + (suffix if suffix.lower() in WRITABLE else ".jpg")


def _stem(text: str, name: str) -> str:
    """A name fit for a file, of a source without one."""
    if text.isdecimal():
        return name
    if "://" in text:
        path = Path(UNFIT.sub("_", name.partition("://")[2]).strip("_"))
        return path.stem if path.suffix.lower() in VIDEO_SUFFIXES else path.name
    path = Path(text)
    if path.is_file():
        return path.stem
    if not path.is_dir():  # a pattern: the last folder of its fixed part
        path = Path(*[part for part in path.parent.parts if not glob.has_magic(part)])
    return path.resolve().name or "pictures"
