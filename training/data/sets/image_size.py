"""Height and width of an image file without decoding it: crop policies clip to them, 20,000 times in AFLW.

Only a plain JPEG or PNG is read this way. Anything else, and a JPEG with EXIF data (which may turn the picture), is
decoded, so that the answer is always that of `lmdeploy.images.read_image`.
"""

from __future__ import annotations

from pathlib import Path

from lmdeploy.errors import InputError
from lmdeploy.images import read_image

_START = 1 << 16  # bytes: the frame header stands before the picture, behind thumbnails and colour profiles
_PNG = b"\x89PNG\r\n\x1a\n"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # start-of-frame markers


def image_size(path: Path) -> tuple[int, int]:
    """(height, width), px, as `read_image` would return it; InputError names a file that is no image."""
    try:
        with path.open("rb") as stream:
            start = stream.read(_START)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    size = _png(start) or _jpeg(start)
    if size is None:
        height, width = read_image(path).shape[:2]
        return height, width
    return size


def _png(start: bytes) -> tuple[int, int] | None:
    # A PNG may carry EXIF too, in a chunk of its own
    if not start.startswith(_PNG) or start[12:16] != b"IHDR" or b"eXIf" in start:
        return None
    return int.from_bytes(start[20:24], "big"), int.from_bytes(start[16:20], "big")


def _jpeg(start: bytes) -> tuple[int, int] | None:
    if not start.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 <= len(start) and start[at] == 0xFF:
        marker, length = start[at + 1], int.from_bytes(start[at + 2 : at + 4], "big")
        if marker == 0xE1:
            return None
        if marker in _FRAMES:
            return int.from_bytes(start[at + 5 : at + 7], "big"), int.from_bytes(start[at + 7 : at + 9], "big")
        at += 2 + length
    return None
