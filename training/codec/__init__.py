"""Named encode and decode pairs; the name is recorded in checkpoint and bundle."""

from __future__ import annotations

from training.codec import stld, subpixel
from training.codec.base import Codec

CODECS: dict[str, Codec] = {
    "stld": Codec(stld.encode, stld.decode),
    "subpixel": Codec(subpixel.encode, subpixel.decode),
}

__all__ = ["CODECS", "Codec"]
