"""Height and width of an image file without decoding it: crop policies clip to them, 20,000 times in AFLW.

Only JPEG and PNG headers are read this way, EXIF orientation included; anything else is decoded. The answer is always
that of `lmdeploy.images.read_image`.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from lmdeploy.errors import InputError
from lmdeploy.images import read_image

_PNG = b"\x89PNG\r\n\x1a\n"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # start-of-frame markers of JPEG
_EXIF = b"Exif\x00\x00"
_ORIENTATION = 0x0112
_ON_ITS_SIDE = frozenset({5, 6, 7, 8})  # orientations that exchange height and width


def image_size(path: Path) -> tuple[int, int]:
    """(height, width), px, as `read_image` would return it; InputError names a file that is no image."""
    try:
        with path.open("rb") as stream:
            size = _jpeg(stream) if stream.read(2) == b"\xff\xd8" else _png(stream)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except struct.error:  # cut short, or EXIF data that is not what it says
        size = None
    if size is None:
        height, width = read_image(path).shape[:2]
        return height, width
    return size


def _png(stream: BinaryIO) -> tuple[int, int] | None:
    stream.seek(0)
    start = stream.read(1 << 16)
    # A PNG may carry EXIF too, in a chunk of its own: then it is decoded
    if not start.startswith(_PNG) or start[12:16] != b"IHDR" or b"eXIf" in start:
        return None
    width, height = struct.unpack(">II", start[16:24])
    return height, width


def _jpeg(stream: BinaryIO) -> tuple[int, int] | None:
    """Walk the segments to the frame header; None where they are not as they should be."""
    side = False
    while True:
        lead, marker, length = struct.unpack(">BBH", stream.read(4))
        if lead != 0xFF or length < 2:
            return None
        if marker in _FRAMES:
            _, height, width = struct.unpack(">BHH", stream.read(5))
            return (width, height) if side else (height, width)
        body = stream.read(length - 2)
        if marker == 0xE1 and body.startswith(_EXIF):
            side = _orientation(body[len(_EXIF) :]) in _ON_ITS_SIDE


def _orientation(tiff: bytes) -> int:
    """The orientation that EXIF data state, 1 where they state none."""
    order = "<" if tiff[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", tiff, 4)
    (entries,) = struct.unpack_from(order + "H", tiff, at)
    for entry in range(entries):
        tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, at + 2 + 12 * entry)
        if tag == _ORIENTATION:
            return int(value)
    return 1
