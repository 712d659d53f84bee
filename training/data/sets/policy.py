"""Named crop policies: how each paper turns a picture's points and given box into what its network sees.

A policy is a pure function (points, given box, image size) -> Crop plus the CropRule of the network's input, and,
where a paper stores larger crops to augment from, the rule of those. Boxes are image px in the package's convention.

STLD cuts whole pixels, from the integer part of the clipped box's first edge to that of its last one, inclusive, but
normalises labels by the clipped box before that rounding. `Crop.box` is the frame of the labels; `Crop.pixels` is the
box of what the release cuts, up to one image pixel away. Cutting at `box` keeps picture and label together.

Differs from the papers: areas are averaged over whole blocks and then interpolated (geometry.crop_image), where STLD
resizes by area; a crop that leaves the image is black there. [R] marks what no paper states.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lmdeploy.errors import InputError
from lmdeploy.geometry import CropRule, landmark_box, whole_image_box
from lmdeploy.types import F32, Box

Size = tuple[int, int]  # height, width, px


@dataclass(frozen=True, slots=True)
class Crop:
    """box: what is cropped and what labels are normalised by. pixels: what the release cuts, where that differs."""

    box: Box
    pixels: Box | None = None


Frame = Callable[[F32 | None, Box | None, Size, str], Crop]


@dataclass(frozen=True, slots=True)
class Policy:
    """A crop policy.

    source: paper's tag and section of the method specification. frame: (points f32[K,2] image px or None, given box or
    None, (height, width), name for messages) -> Crop. rule: box -> network input. clamp: whether the points are pulled
    into the image. store: rule of the larger crop that the paper keeps on disk to augment from.
    """

    source: str
    frame: Frame
    rule: CropRule
    clamp: bool = False
    store: CropRule | None = None


def extended(left: float, top: float, right: float, bottom: float, clip: bool = False) -> Frame:
    """The given box (the landmarks' where none is given) with each edge moved OUT by a fraction of its own side."""

    def frame(points: F32 | None, given: Box | None, size: Size, name: str) -> Crop:
        b = given or _tight(points, name)
        w, h = b.width, b.height
        out = Box(b.x0 - left * w, b.y0 - top * h, b.x1 + right * w, b.y1 + bottom * h, b.score)
        return Crop(_solid(_clipped(out, size) if clip else out, name))

    return frame


def stld_given(scale: float) -> Frame:
    """STLD on WFLW and AFLW: the given box, enlarged about its centre, clipped, cut in whole pixels."""

    def frame(points: F32 | None, given: Box | None, size: Size, name: str) -> Crop:
        return _stld(given or _tight(points, name), scale, size, name)

    return frame


def stld_tight(points: F32 | None, given: Box | None, size: Size, name: str) -> Crop:
    """STLD on 300W: tight box of the points after integer truncation, enlarged by 1.1; the given box is not used."""
    whole = None if points is None else np.trunc(points).astype(np.float32)
    return _stld(_tight(whole, name), 1.1, size, name)


def tight(points: F32 | None, given: Box | None, size: Size, name: str) -> Crop:
    """The landmarks' box; the given one only where there is no label."""
    return Crop(_tight(points, name) if points is not None else _solid(given, name))


def whole_image(points: F32 | None, given: Box | None, size: Size, name: str) -> Crop:
    """The whole picture."""
    return Crop(whole_image_box(*size))


def _stld(box: Box, scale: float, size: Size, name: str) -> Crop:
    dx, dy = box.width * (scale - 1) / 2, box.height * (scale - 1) / 2
    label = _solid(_clipped(Box(box.x0 - dx, box.y0 - dy, box.x1 + dx, box.y1 + dy), size), name)
    # 1e-6: an edge that is a whole number but for the arithmetic stays that number
    x0, y0, x1, y1 = (float(int(edge + 1e-6)) for edge in (label.x0, label.y0, label.x1, label.y1))
    return Crop(label, Box(x0 - 0.5, y0 - 0.5, x1 + 0.5, y1 + 0.5))


def _tight(points: F32 | None, name: str) -> Box:
    if points is None:
        raise InputError(f"{name}: neither a box nor a label, so there is nothing to crop")
    return _solid(landmark_box(points), name)


def _clipped(box: Box, size: Size) -> Box:
    """The part inside the picture, whose outermost pixel centres are (0, 0) and (W - 1, H - 1)."""
    right, bottom = size[1] - 1.0, size[0] - 1.0
    x0, x1 = (min(max(x, 0.0), right) for x in (box.x0, box.x1))
    y0, y1 = (min(max(y, 0.0), bottom) for y in (box.y0, box.y1))
    return Box(x0, y0, x1, y1, box.score)


def _solid(box: Box | None, name: str) -> Box:
    if box is None:
        raise InputError(f"{name}: neither a box nor a label, so there is nothing to crop")
    if not (np.isfinite([box.x0, box.y0, box.x1, box.y1]).all() and box.width > 0 and box.height > 0):
        raise InputError(f"{name}: the box ({box.x0:g}, {box.y0:g}, {box.x1:g}, {box.y1:g}) has no area in the image")
    return box


def _rule(kind: str, scale: float, size: int) -> CropRule:
    return CropRule.model_validate({"kind": kind, "scale": scale, "size": size})


# sqrt(2) * 256 = 362.04: 53 px on each side of the final 256, at the same scale
_FABREC, _FABREC_STORE = _rule("square", 1.0, 256), _rule("square", 362 / 256, 362)

POLICIES: dict[str, Policy] = {
    "package": Policy("design, Boxes", tight, CropRule()),
    "stld_300w": Policy("STLD, 1.1", stld_tight, _rule("stretch", 1.0, 256)),
    "stld_wflw": Policy("STLD, 1.1", stld_given(1.0), _rule("stretch", 1.0, 256)),
    "stc_wflw": Policy("STLD's STC row, 1.1", stld_given(1.2), _rule("stretch", 1.0, 256), clamp=True),
    "stld_aflw": Policy("STLD, 1.1", stld_given(1.0), _rule("stretch", 1.0, 256), clamp=True),
    # The given box where there is one, 0.2 of its side further out on every side [R]
    "ts3": Policy("TS3, 1.1", extended(0.2, 0.2, 0.2, 0.2, clip=True), _rule("stretch", 1.0, 64)),
    # The stored crop is jittered down to one of 1.3 times the landmarks' square
    "smt": Policy("SMT, 1.1", tight, _rule("square", 1.3, 80), store=_rule("square", 1.7, 160)),
    "fabrec_300w": Policy("SCAF, 1.1", extended(0, 0.20, 0, 0.12), _FABREC, store=_FABREC_STORE),
    "fabrec_wflw": Policy("SCAF, 1.1", extended(0, 0, 0, 0.10), _FABREC, store=_FABREC_STORE),
    "fabrec_affectnet": Policy("3FabRec, 1", extended(0, 0.05, 0, 0.25), _FABREC, store=_FABREC_STORE),
    "fabrec_vggface2": Policy("3FabRec, 1", extended(0, 0.05, 0, 0.10), _FABREC, store=_FABREC_STORE),
    # Corner jitter of up to 15 % belongs to training; the paper does not say whether the aspect is kept [R]
    "sepbn": Policy("SepBN, 1.1", extended(0, 0, 0, 0), _rule("stretch", 1.0, 128)),
    "hrnet": Policy("HRNet-style, 1.1", extended(0, 0, 0, 0), _rule("square", 1.25, 256)),
    # A negative fraction moves the top edge down
    "celeba": Policy("STLD omni, 1", extended(0.10, -0.15, 0.10, 0.10), _rule("stretch", 1.0, 256)),
    "whole_512": Policy("STLD Hand, 1", whole_image, _rule("stretch", 1.0, 512)),
    "whole_256": Policy("STLD's released crops, 1.1", whole_image, _rule("stretch", 1.0, 256)),
    "whole_128": Policy("SMT HGR1, 1", whole_image, _rule("stretch", 1.0, 128)),
    "whole_60": Policy("SMT Shapes and Blocks, 7.3", whole_image, _rule("stretch", 1.0, 60)),
    "whole_64": Policy("SMT HGR1, 1", whole_image, _rule("stretch", 1.0, 64)),
}
