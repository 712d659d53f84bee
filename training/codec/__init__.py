"""Named encode and decode pairs; the name is recorded in checkpoint and bundle."""

from __future__ import annotations

from training.codec import coords, measures, stld, subpixel
from training.codec.base import Codec

CODECS: dict[str, Codec] = {
    "coords": Codec(coords.encode, coords.decode, measures.of_heads, maps=False, both_heads=True),
    "stld": Codec(stld.encode, stld.decode, measures.of_maps),
    "subpixel": Codec(subpixel.encode, subpixel.decode, measures.of_maps),
}

__all__ = ["CODECS", "Codec"]
