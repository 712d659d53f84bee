"""The recipe of each of SepBN's cells."""

from __future__ import annotations

from tests.oracles.recipe_files import (
    Paper,
    command,
    dashed,
    file_text,
    options_of,
    printed,
    said_tables,
    targets_of,
    title,
)
from tests.oracles.sepbn_cells import BACKBONES, SETS, Cell, cells
from training.augment import config
from training.data.published import Data
from training.data.sets.policy import POLICIES
from training.engine.fit import Schedule
from training.models import regression
from training.recipe import Recipe

# Section V-A: 120 of 500 epochs to warm up; the warm-up's shape, the shear and the coordinates' unit are not stated
SCHEDULE = Schedule(
    batch=8, lr=1e-3, decay="cosine", lr_end=5e-6, warm_up=120 / 500, weight_decay=5e-4, optimiser="sgd", momentum=0.9
)
AUGMENT = config.Config(
    p_translate=0.0, translate=0.0, p_scale=0.0, scale=0.0, p_rotate=1.0, rotate=25.0, p_flip=0.5, p_occlude=0.0,
    p_blur=0.0, p_grey=0.0, brightness=0.0, contrast=0.0, saturation=0.0, noise=0.0, shear=0.1, corners=0.15,
)  # fmt: skip
OPTIONS = {"epochs": 500, "decay_at": (), "oversample": 0}


def text_of(cell: Cell) -> str:
    """The file of a cell."""
    pretrained = cell.trunk != "vanilla"
    data = Data.model_validate({"set": cell.set, "unlabelled": "none", "crop": "sepbn"} | SETS[cell.set])
    built = Recipe(
        method=cell.method,
        name=dashed(cell.file, cell.set),
        codec="coords",
        data=data,
        network=regression.Config.model_validate(
            {"backbone": BACKBONES[cell.trunk][0], "pretrained": pretrained, "sepbn": cell.sepbn}
        ),
        crop=POLICIES[data.crop].rule,
        schedule=SCHEDULE,
        augment=AUGMENT,
        options=options_of(cell.method, OPTIONS),
        target=targets_of("SepBN", cell.row, cell.figures),
    )
    return file_text(_comment(cell, data), built)


def _comment(cell: Cell, data: Data) -> list[str]:
    first = {(metric, value) for _, metric, value, split in cell.figures if split is None}
    figures = [printed(metric, value) for metric, value in sorted(first, reverse=True)]
    said = ", ".join([*figures, *([cell.note] if cell.note else [])])
    where = said_tables([number for number, *_ in cell.figures] or ["X"], ", ")
    return [
        f"SepBN, {where}, {cell.row}: {title(cell.set)}, all images labelled.",
        f"Published: {said}.",
        command(cell.name, data),
    ]


PAPER = Paper("sepbn", cells, text_of)
