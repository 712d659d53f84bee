"""Image files -> uint8 RGB arrays, or one sentence that names the file and the reason.

Grey, 16-bit (scaled to 8), CMYK and palette images become RGB, alpha is dropped, the EXIF orientation is honoured.
A truncated JPEG or PNG is refused: OpenCV would fill its rest with grey and say nothing.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from lmdeploy.errors import InputError
from lmdeploy.types import U8

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})

_JPEG_START = b"\xff\xd8\xff"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
# In coded JPEG data an 0xff is followed by 0x00 or a restart marker; anything else begins a segment.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)


def read_image(path: str | Path) -> U8:
    """Decode an image file to u8[H,W,3], RGB, turned as its EXIF orientation says.

    Args:
        path: the file, of any kind that OpenCV reads; 16 bits are scaled to 8, grey becomes RGB, alpha is dropped.
    Errors: InputError that names the file for whatever is missing, empty, truncated or no image.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else (error.strerror or str(error))
        raise InputError(f"{path}: {reason}") from error
    return decode_image(content, str(path))


def decode_image(content: bytes, origin: str) -> U8:
    """Decode the bytes of an image file to u8[H,W,3], RGB; `origin` names it in the InputError."""
    import cv2  # loading OpenCV takes 0.1 s, which `import lmdeploy` need not pay

    if not content:
        raise InputError(f"{origin}: the file is empty")
    if _is_truncated(content):
        raise InputError(f"{origin}: the image is truncated; copy it again")
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:  # more pixels than OpenCV accepts
        raise InputError(f"{origin}: the image cannot be decoded ({error.err})") from error
    if pixels is None or pixels.size == 0:
        raise InputError(f"{origin}: not an image that can be decoded")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def list_images(folder: str | Path) -> list[Path]:
    """The image files that lie directly in a folder, by name; hidden files do not count."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}") from error
    return sorted(p for p in entries if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))


def _is_truncated(content: bytes) -> bool:
    if content.startswith(_JPEG_START):
        return not _jpeg_ends(content)
    return content.startswith(_PNG_START) and _PNG_END not in content


def _jpeg_ends(content: bytes) -> bool:
    """Walk the segments of the first picture; what follows its end (a motion photo's film) does not matter."""
    at = 2
    while found := _JPEG_MARKER.search(content, at):
        marker, at = content[found.start() + 1], found.end()
        if marker == 0xD9:  # end of image
            return True
        if marker != 0x01:  # every other segment here carries its length, and a picture may hide inside it
            at += int.from_bytes(content[at : at + 2], "big")
    return False
