"""What callers give to a Landmarker, checked where it comes in: one sentence that says what to give instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
from pydantic import ValidationError

from lmdeploy.errors import InputError
from lmdeploy.types import U8, Box

Color = Literal["rgb", "bgr"]


def check_image(image: object, color: str) -> None:
    """InputError unless image is u8[H,W,3] or grey u8[H,W], with at least one pixel, and color is rgb or bgr."""
    if color not in ("rgb", "bgr"):
        raise InputError(f"color {color!r} is neither 'rgb' nor 'bgr'")
    if not isinstance(image, np.ndarray):
        raise InputError(f"image must be a NumPy array, got {type(image).__name__}; lmdeploy.read_image reads files")
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)) or image.size == 0:
        raise InputError(
            f"image must be uint8 [H,W,3] or grey [H,W], got {image.dtype} {list(image.shape)}: scale it to 0..255, "
            "convert it, and drop alpha"
        )


def check_boxes(boxes: Sequence[Sequence[Box]], images: int) -> None:
    """InputError unless there is a list of Box for each of so many images."""
    if isinstance(boxes, Box) or len(boxes) != images:
        given = "one Box" if isinstance(boxes, Box) else f"boxes for {len(boxes)}"
        raise InputError(f"{images} images but {given}: give one list of boxes per image")
    for some in boxes:
        if isinstance(some, Box) or not isinstance(some, Iterable):
            raise InputError(f"boxes of an image are {type(some).__name__}: give a list of Box, empty for no face")
        wrong = next((type(box).__name__ for box in some if not isinstance(box, Box)), None)
        if wrong is not None:
            raise InputError(f"a box is given as {wrong}: give lmdeploy.Box(x0, y0, x1, y1) in image px")


@contextmanager
def checked_options() -> Iterator[None]:
    """Turns what pydantic says of the options made inside into an InputError about the first that is wrong."""
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{name} = {first['input']!r}: {first['msg'][:1].lower()}{first['msg'][1:]}") from error


def as_rgb(image: U8, color: Color) -> U8:
    """u8[H,W,3] RGB of a grey, RGB or BGR image; an RGB image is returned as it is."""
    if image.ndim == 3 and color == "rgb":
        return image
    import cv2

    code = cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(image, code), np.uint8)
