"""Annotated pictures in a folder, each written to a draft and renamed: a killed process leaves whole pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lmdeploy.errors import InputError
from lmdeploy.types import U8, Landmarks
from lmdeploy.video.frame import Frame
from lmdeploy.writers.base import unwritable

WRITABLE = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
JPEG_QUALITY = 92


class ImageSink:
    """Annotated pictures in a folder, under the frames' names; two frames of one name get numbers."""

    drawn = True

    def __init__(self, folder: Path) -> None:
        """Make the folder."""
        self._folder = folder
        self._used: set[str] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(folder, error) from error

    def write(self, frame: Frame, faces: Sequence[Landmarks], picture: U8 | None) -> None:
        """Write one picture; InputError when it cannot be written."""
        assert picture is not None
        write_image(self._folder / self._free_name(frame), picture)

    def close(self) -> None:
        """Nothing is held open."""

    def _free_name(self, frame: Frame) -> str:
        path = Path(frame.name)
        suffix = path.suffix if path.suffix.lower() in WRITABLE else ".jpg"
        name = f"{path.stem}{suffix}"
        if frame.time_ms is None:  # names of a stream's frames cannot clash, and must not pile up in memory
            if name in self._used:
                name = f"{path.stem}_{frame.index}{suffix}"
            self._used.add(name)
        return name


def write_image(path: str | Path, image: U8) -> None:
    """Write a picture, under its name only when complete.

    Args:
        path: its suffix says the kind of file: .jpg, .png, .bmp, .webp, .tif.
        image: u8[H,W,3] RGB.
    Errors: InputError for a kind that OpenCV cannot write, or a place that cannot be written.
    """
    import cv2

    path = Path(path)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix.lower() in (".jpg", ".jpeg") else []
    if path.suffix.lower() not in WRITABLE:
        raise InputError(f"{path}: choose a name that ends in {', '.join(sorted(WRITABLE))}")
    good, content = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not good:
        raise InputError(f"{path}: OpenCV cannot write this kind of image; choose .jpg or .png")
    draft = path.with_name(f".{path.name}.part")
    try:
        draft.write_bytes(content.tobytes())
        draft.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
