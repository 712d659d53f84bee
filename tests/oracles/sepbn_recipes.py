"""Writes the recipes of SepBN's cells: `python -m tests.oracles.sepbn_recipes`; a test compares them with files."""

from __future__ import annotations

from typing import Any

from tests.oracles.sepbn_cells import BACKBONES, SETS, Cell, cells
from tests.oracles.stld_recipes import FOLDER, NAMES, TITLES, UNITS, lines_of
from training.augment import config
from training.data.published import Data, Target
from training.data.sets.policy import POLICIES
from training.engine.fit import Schedule
from training.methods import METHODS
from training.models import regression

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
    network = regression.Config.model_validate(
        {"backbone": BACKBONES[cell.trunk][0], "pretrained": pretrained, "sepbn": cell.sepbn}
    )
    data = Data.model_validate({"set": cell.set, "unlabelled": "none", "crop": "sepbn"} | SETS[cell.set])
    name = f"{cell.file}-{cell.set}".replace("_", "-")
    tables: dict[str, Any] = {
        "data": data,
        "network": network,
        "crop": POLICIES[data.crop].rule,
        "schedule": SCHEDULE,
        "augment": AUGMENT,
        "options": METHODS[cell.method].config.model_validate(OPTIONS),
    }
    parts = [_comment(cell), *lines_of({"method": cell.method, "name": name, "codec": "coords"})]
    for title, table in tables.items():
        parts += ["", f"[{title}]", *lines_of(table.model_dump(exclude_none=True))]
    for number, metric, value, split in cell.figures:
        target = Target.model_validate(
            {"paper": "SepBN", "table": number, "row": cell.row, "metric": metric, "unit": UNITS[metric],
             "value": value, "split": split}
        )  # fmt: skip
        parts += ["", "[[target]]", *lines_of(target.model_dump(exclude_none=True))]
    return "\n".join(parts) + "\n"


def write() -> None:
    """Write every file."""
    for cell in cells():
        path = FOLDER / f"{cell.name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(cell), encoding="utf-8")


def _comment(cell: Cell) -> str:
    numbers = list(dict.fromkeys(number for number, *_ in cell.figures)) or ["X"]
    printed = {(metric, value) for _, metric, value, split in cell.figures if split is None}
    figures = [f"{NAMES[metric]} {value:.2f} {UNITS[metric]}" for metric, value in sorted(printed, reverse=True)]
    said = ", ".join([*figures, *([cell.note] if cell.note else [])])
    where = f"Table{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"
    return (
        f"# SepBN, {where}, {cell.row}: {TITLES.get(cell.set, cell.set.upper())}, all images labelled.\n"
        f"# Published: {said}.\n"
        f"# lmdeploy train {cell.name} --data {cell.set.upper()} --out RUN"
    )


if __name__ == "__main__":
    write()
