"""Points that a loss can differentiate, for the output of any network of the package.

Codecs that already decode by a mean position or that carry coordinates keep their own decoding. An argmax has no
gradient: maps with peak 1 (`subpixel`, `stld`, ...) are read by Eq. 1 of Honari et al. with beta = 30, which leaves
cells of an empty background e^-30 of a peak's weight.
"""

from __future__ import annotations

from torch import Tensor

from training.codec import CODECS, softargmax

BETA = 30.0
LOGITS = ("pixel", "softargmax")  # their maps are logits already


def soft_points(main: Tensor, codec: str, stride: int) -> Tensor:
    """Points f32[B,K,2] (crop px) of a main head's output under its codec; stride as for the codec's decode."""
    if main.dim() == 3:
        return CODECS[codec].decode(main.float(), stride)
    return softargmax.decode(main, stride, 1.0 if codec in LOGITS else BETA)
