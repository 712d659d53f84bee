"""Where frames come from: image files, folders, globs, lists, video files, cameras and network streams."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lmdeploy.errors import InputError
from lmdeploy.images import IMAGE_SUFFIXES, list_images, read_image
from lmdeploy.video.frame import Frame, Source

if TYPE_CHECKING:
    from lmdeploy.video.camera import Camera

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv", ".flv"})


@dataclass
class ImageFiles:
    """Image files one after the other; a broken one is noted and skipped."""

    paths: Sequence[Path]
    stream: bool = False
    rate: float = 0.0
    problems: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Frame]:
        """One frame a readable file."""
        for index, path in enumerate(self.paths):
            try:
                image = read_image(path)
            except InputError as error:
                self.problems.append(str(error))
                continue
            yield Frame(image, index, None, path.name)

    def close(self) -> None:
        """Nothing is held open."""


def open_source(
    text: str | Path, *, give_up_s: float | None = None, warn: Callable[[str], None] | None = None
) -> Source:
    """Open what a user may type as SOURCE.

    A number is a camera; `rtsp://`, `http://` and the like a network stream, but for a video file on a web server,
    of which every frame is read; a folder its image files; a pattern with `*`, `?` or `[` the files it matches; a
    `.txt` file a list of image files, one a line, relative to the list; any other file is an image or, by its suffix
    or failing that by its content, a video.
    give_up_s, warn: for cameras and streams that are lost on the way, see Camera; without give_up_s they are tried
    again for ever.
    Errors: InputError when there is nothing to read.
    """
    name = str(text)
    if not name:
        raise InputError("the name of the source is empty: give a camera's number, a file, a folder or an address")
    if (file := _file_on_a_server(name)) is not None:
        from lmdeploy.video.file import open_video

        return open_video(file, name)
    if is_live(name):
        return open_live(name, give_up_s=give_up_s, warn=warn)
    path = Path(name)
    if path.is_dir():
        return ImageFiles(_some(list_images(path), f"{path}: no image files in this folder"))
    if not path.is_file():
        return ImageFiles(_some(_matches(name), f"{name}: no such file, folder or camera, and no file matches it"))
    if path.suffix.lower() == ".txt":
        return ImageFiles(_some(_listed(path), f"{path}: the list names no image"))
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageFiles([path])
    from lmdeploy.video.file import open_video

    return open_video(path)


def is_live(name: str) -> bool:
    """Whether SOURCE is a camera or a network stream, of which the newest picture counts."""
    return name.isdecimal() or ("://" in name and _file_on_a_server(name) is None)


def open_live(
    name: str, *, give_up_s: float | None, warn: Callable[[str], None] | None, absent: bool = False
) -> Camera:
    """A camera by number or a network stream by address; absent: known not to be there yet, see Camera."""
    from lmdeploy.video.camera import Camera
    from lmdeploy.video.retry import Retry

    address = int(name) if name.isdecimal() else name
    return Camera(address, retry=Retry(give_up_s=give_up_s), warn=warn, absent=absent)


def _file_on_a_server(name: str) -> Path | None:
    """The file's name where `name` is the web address of a video file, which ends and can be waited for."""
    try:
        parts = urlsplit(name) if name.startswith(("http://", "https://")) else None
    except ValueError:  # no address of anything: opening it will tell
        return None
    return Path(Path(parts.path).name) if parts and Path(parts.path).suffix.lower() in VIDEO_SUFFIXES else None


def _some(paths: list[Path], otherwise: str) -> list[Path]:
    if not paths:
        raise InputError(otherwise)
    return paths


def _matches(pattern: str) -> list[Path]:
    """Files that match a glob pattern, by name; image files alone where the pattern matches others too."""
    if not glob.has_magic(pattern):
        return []
    found = glob.glob(pattern, recursive=True)  # noqa: PTH207  # Path.glob refuses absolute patterns
    return sorted(path for path in map(Path, found) if path.suffix.lower() in IMAGE_SUFFIXES)


def _listed(path: Path) -> list[Path]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable list of image files ({error})") from error
    return [path.parent / line.strip() for line in lines if line.strip() and not line.startswith("#")]
