"""Several frames looked at side by side: what each needs of the network goes through it in one batch.

Who looks at a frame is a generator. It yields landmark boxes and is sent their Landmarks, or yields DETECT and is
sent the boxes that the detector found (None when it may not run now); what it returns are the frame's faces.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from lmdeploy.landmarker import Landmarker
from lmdeploy.types import U8, Landmarks

DETECT = None
Steps = Generator[Any, Any, list[Landmarks]]
Allow = Callable[[Sequence[int]], Sequence[int]]
"""Of the frames (their places) that want the detector, those that get it now."""


def together(
    landmarker: Landmarker,
    steps: Sequence[Steps],
    images: Sequence[U8],
    allow: Allow = lambda wanting: wanting,
) -> list[list[Landmarks]]:
    """Run every generator to its end.

    Args:
        landmarker: what the batches go through.
        steps: one generator an image.
        images: u8[H,W,3] RGB, of any sizes.
        allow: who may use the detector, which is slow.
    Returns: the faces of each image, as if it had been looked at alone.
    """
    found: list[list[Landmarks]] = [[] for _ in steps]
    replies: dict[int, Any] = dict.fromkeys(range(len(steps)))
    while replies:
        asked: dict[int, Any] = {}
        for index, reply in replies.items():
            try:
                asked[index] = steps[index].send(reply)
            except StopIteration as end:
                found[index] = end.value
        replies = _answered(landmarker, images, asked, allow)
    return found


def whole(max_faces: int | None = None) -> Steps:
    """A still image, or a frame that is looked at for itself: all faces of the detector, best first."""
    boxes = yield DETECT
    faces: list[Landmarks] = yield boxes or []
    return faces[:max_faces]


def _answered(landmarker: Landmarker, images: Sequence[U8], asked: dict[int, Any], allow: Allow) -> dict[int, Any]:
    boxed = {index: boxes for index, boxes in asked.items() if boxes is not DETECT}
    found = landmarker.predict_batch([images[index] for index in boxed], list(boxed.values())) if boxed else []
    replies: dict[int, Any] = dict(zip(boxed, found, strict=True))
    wanting = [index for index in asked if index not in boxed]
    allowed = allow(wanting) if wanting else ()
    return replies | {index: landmarker.detect(images[index]) if index in allowed else None for index in wanting}
