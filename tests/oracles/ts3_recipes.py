"""The recipe of each of TS3's cells."""

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
from tests.oracles.ts3_cells import Cell, cells
from training.augment import config
from training.data.published import Data
from training.data.sets.policy import POLICIES
from training.engine.fit import Schedule
from training.methods.students import CPM, HOURGLASS
from training.models import cpm, hourglass, students
from training.recipe import Recipe

# Section 4.2: resized by 0.9 to 1.1, rotated by up to 30 degrees, cropped at random; nothing photometric, no mirror
AUGMENT = config.Config(
    p_translate=1.0, translate=0.1, p_scale=1.0, scale=0.1, p_rotate=1.0, rotate=30.0, p_flip=0.0, p_occlude=0.0,
    p_blur=0.0, p_grey=0.0, brightness=0.0, contrast=0.0, saturation=0.0, noise=0.0,
)  # fmt: skip
NETWORKS: dict[str, students.Student] = {
    "cpm": cpm.Config(background=True),
    "hourglass": hourglass.Config(background=True),
}
TRAININGS = {"cpm": CPM, "hourglass": HOURGLASS}


def text_of(cell: Cell) -> str:
    """The file of a cell."""
    data = Data.model_validate(cell.data)
    chosen = {"students": [TRAININGS[kind].model_dump() for kind in cell.students]}
    built = Recipe(
        method=cell.method,
        name=dashed(cell.name),
        codec="ts3",
        data=data,
        network=students.Config(
            students=tuple(NETWORKS[kind] for kind in cell.students), pretrained="cpm" in cell.students
        ),
        crop=POLICIES[data.crop].rule,
        schedule=Schedule(batch=8),
        augment=AUGMENT,
        options=options_of(cell.method, chosen | cell.options),
        target=targets_of("TS3", cell.row, [(table, m, value, split) for table, m, split, value in cell.figures]),
    )
    return file_text(_comment(cell, data), built)


def _comment(cell: Cell, data: Data) -> list[str]:
    tables = [table for table, *_ in cell.figures]
    where = said_tables(tables) if tables else "Fig. 4 (drawn, not printed)"
    figures = ", ".join(
        printed(metric, value) + (f" ({split})" if split else "")
        for table, metric, split, value in cell.figures
        if table == tables[0]
    )
    published = f" Published: {figures}." if figures else ""
    return [
        f"TS3, {where}, row {cell.row}: {title(data.set)}, {data.labelled} labelled.{published}",
        command(cell.name, data),
        "[schedule] is of no stage: every student and the teacher have their own.",
    ]


PAPER = Paper("ts3", cells, text_of)
