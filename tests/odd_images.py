"""Image files as they come from the wild, encoded by Pillow, which the package itself does not use."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lmdeploy.types import U8


def smooth_picture(height: int = 40, width: int = 60, seed: int = 0) -> U8:
    """u8[H,W,3] RGB without edges (so that JPEG keeps it), of which no two corners are alike."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = [np.sin(rng.uniform(2, 5) * x + rng.uniform(2, 5) * y + c) for c in range(3)]
    return (127 + 110 * np.stack(waves, axis=2)).round().astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The file's bytes."""
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def write_jpeg(path: Path, pixels: U8) -> Path:
    """A plain JPEG file; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(Image.fromarray(pixels), "JPEG", quality=95))
    return path


def with_orientation(image: Image.Image, orientation: int, kind: str) -> bytes:
    """A file that says by EXIF how it is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    return encoded(image, kind, exif=exif, **options)
