"""Writes the recipes of TS3's cells, each complete: `python -m tests.oracles.ts3_recipes`; a test compares them."""

from __future__ import annotations

from typing import Any

from tests.oracles.stld_recipes import FOLDER, TITLES, lines_of
from tests.oracles.ts3_cells import Cell, cells
from training.augment import config
from training.data.published import Data, Target
from training.data.sets.policy import POLICIES
from training.engine.fit import Schedule
from training.methods import METHODS
from training.methods.students import CPM, HOURGLASS
from training.models import cpm, hourglass, students

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
    head = {"method": cell.method, "name": cell.name.replace("_", "-").replace("/", "-"), "codec": "ts3"}
    tables = {
        "data": data,
        "network": students.Config(
            students=tuple(NETWORKS[kind] for kind in cell.students), pretrained="cpm" in cell.students
        ),
        "crop": POLICIES[data.crop].rule,
        "schedule": Schedule(batch=8),
        "augment": AUGMENT,
        "options": METHODS[cell.method].config.model_validate(chosen | cell.options),
    }
    parts = [_comment(cell, data), *lines_of(head)]
    for name, table in tables.items():
        parts += ["", f"[{name}]", *lines_of(table.model_dump(exclude_none=True))]
    for target in _targets(cell):
        parts += ["", "[[target]]", *lines_of(target.model_dump(exclude_none=True))]
    return "\n".join(parts) + "\n"


def write() -> None:
    """Write every file; what stands there and is no cell is left alone, and the test names it."""
    for cell in cells():
        path = FOLDER / f"{cell.name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(cell), encoding="utf-8")


def _targets(cell: Cell) -> list[Target]:
    found = []
    for table, metric, split, value in cell.figures:
        fields: dict[str, Any] = {"paper": "TS3", "table": table, "row": cell.row, "metric": metric, "unit": "%"}
        found.append(Target.model_validate(fields | {"value": value, "split": split}))
    return found


def _comment(cell: Cell, data: Data) -> str:
    tables = list(dict.fromkeys(table for table, *_ in cell.figures))
    where = f"Table{'s' * (len(tables) > 1)} {' and '.join(tables)}" if tables else "Fig. 4 (drawn, not printed)"
    images = f"{TITLES[data.set]}, {data.labelled} labelled"
    printed = ", ".join(
        f"{metric.upper()} {value:.2f} %{f' ({split})' if split else ''}"
        for table, metric, split, value in cell.figures
        if table == tables[0]
    )
    more = "" if data.other is None else f" --unlabelled {data.other.set.upper()}"
    return (
        f"# TS3, {where}, row {cell.row}: {images}.{f' Published: {printed}.' if printed else ''}\n"
        f"# lmdeploy train {cell.name} --data {data.set.upper()}{more} --out RUN\n"
        "# [schedule] is of no stage: every student and the teacher have their own."
    )


if __name__ == "__main__":
    write()
