"""A detector of the caller's own, behind the same checks as ours: what it answers must be boxes."""

from __future__ import annotations

from lmdeploy.detect.base import BoxFinder
from lmdeploy.errors import InputError
from lmdeploy.types import U8, Box


class Custom:
    """An object with `detect(image) -> list[Box]` as a Detector.

    Args:
        given: finds boxes; see BoxFinder. Its `name`, where it has one, is the key of the bundle's box map; without
            one, or with a name that the bundle has no map for, its boxes are taken as landmark boxes.
    Errors: InputError where it is no such object.
    """

    def __init__(self, given: BoxFinder) -> None:
        """Take the object over; nothing is called yet."""
        kind = type(given).__name__
        if isinstance(given, type):
            raise InputError(f"detector is the class {given.__name__}: give an object of it, {given.__name__}(...)")
        if not callable(getattr(given, "detect", None)):
            raise InputError(
                f"detector is {kind}: give haar, yunet, whole_image, or an object with a method "
                "detect(image) -> list[lmdeploy.Box]"
            )
        name = getattr(given, "name", "")
        if not isinstance(name, str):
            raise InputError(f"{kind}.name is {type(name).__name__}: give a text, the key of a box map in the bundle")
        self.name = name
        self._given = given

    def detect(self, image: U8) -> list[Box]:
        """Boxes in image u8[H,W,3] RGB, image px; InputError where the answer is not a list of Box."""
        found = self._given.detect(image)
        several = isinstance(found, (list, tuple))
        wrong = [box for box in found if not isinstance(box, Box)] if several else [found]
        if wrong:
            raise InputError(
                f"{type(self._given).__name__}.detect answers with {type(wrong[0]).__name__}: give a list of "
                "lmdeploy.Box(x0, y0, x1, y1, score) in image px, empty where nothing is found"
            )
        return list(found)
