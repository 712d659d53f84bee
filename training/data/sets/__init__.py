"""The published data sets: one file each, all read from the user's own copy in the official layout."""

from __future__ import annotations

from lmdeploy.errors import InputError
from training.data.sets.affectnet import AFFECTNET
from training.data.sets.aflw import AFLW
from training.data.sets.base import DataSet
from training.data.sets.celeba import CELEBA
from training.data.sets.coco import coco
from training.data.sets.cofw import COFW
from training.data.sets.drawn import BLOCKS, SHAPES
from training.data.sets.hand import HAND
from training.data.sets.hgr1 import HGR1
from training.data.sets.multipie import MULTIPIE
from training.data.sets.points_csv import POINTS_CSV
from training.data.sets.rsna import RSNA
from training.data.sets.stld_lists import STLD_300W, STLD_AFLW, STLD_WFLW
from training.data.sets.vw300 import VW300, VW300_49
from training.data.sets.w300 import W300
from training.data.sets.wflw import WFLW
from training.data.sets.widerface import WIDERFACE, WIDERFACE_BOXES

SETS: dict[str, DataSet] = {
    "300vw": VW300,
    "300vw_49": VW300_49,
    "300w": W300,
    "affectnet": AFFECTNET,
    "aflw": AFLW,
    "blocks": BLOCKS,
    "celeba": CELEBA,
    "coco": coco(),
    "cofw": COFW,
    "hand": HAND,
    "hgr1": HGR1,
    "multipie": MULTIPIE,
    "points_csv": POINTS_CSV,
    "rsna": RSNA,
    "shapes": SHAPES,
    "stld_300w": STLD_300W,
    "stld_aflw": STLD_AFLW,
    "stld_wflw": STLD_WFLW,
    "wflw": WFLW,
    "widerface": WIDERFACE,
    "widerface_boxes": WIDERFACE_BOXES,
}


def open_set(name: str) -> DataSet:
    """A published data set by name, or `coco:SCHEMA`: what the entry point `lmdeploy.datasets` offers.

    SCHEMA is a built-in landmark schema or a TOML file of one's own.
    """
    kind, _, schema = name.partition(":")
    if kind == "coco" and schema:
        return coco(schema)
    if name not in SETS:
        raise InputError(f"{name!r} is no published data set: choose one of {', '.join(SETS)}, or coco:SCHEMA")
    return SETS[name]
