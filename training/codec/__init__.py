"""Named encode and decode pairs; the name is recorded in checkpoint and bundle."""

from __future__ import annotations

from training.codec import coords, measures, pixel, point, scaf, softargmax, stld, subpixel, ts3
from training.codec.base import Codec

CODECS: dict[str, Codec] = {
    "coords": Codec(coords.encode, coords.decode, measures.of_heads, maps=False, both_heads=True),
    "pixel": Codec(pixel.encode, pixel.decode, softargmax.measure),
    "point": Codec(coords.encode, coords.decode, point.measure, maps=False),
    "scaf": Codec(scaf.encode, scaf.decode, measures.of_maps),
    "softargmax": Codec(softargmax.encode, softargmax.decode, softargmax.measure),
    "stld": Codec(stld.encode, stld.decode, measures.of_maps),
    "subpixel": Codec(subpixel.encode, subpixel.decode, measures.of_maps),
    "ts3": Codec(ts3.encode, ts3.decode, measures.of_maps),
}

__all__ = ["CODECS", "Codec"]
