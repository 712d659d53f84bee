"""No detector at all: the object fills the image (X-rays, ready-made crops)."""

from __future__ import annotations

from lmdeploy.geometry import whole_image_box
from lmdeploy.types import U8, Box


class WholeImage:
    """Answers with the whole image, always."""

    name = "whole_image"

    def detect(self, image: U8) -> list[Box]:
        """The one box whose edges are the edges of image u8[H,W,3], image px."""
        return [whole_image_box(*image.shape[:2])]
