"""Writes the recipes of CNT's cells: `python -m tests.oracles.cnt_recipes`; a test compares them with the files."""

from __future__ import annotations

from typing import Any

from tests.oracles.cnt_cells import COPIES, UNION, Cell, cells
from tests.oracles.sepbn_cells import BACKBONES, SETS
from tests.oracles.sepbn_recipes import AUGMENT, SCHEDULE
from tests.oracles.stld_recipes import FOLDER, NAMES, TITLES, UNITS, lines_of
from training.data.published import Data, Target
from training.data.sets.policy import POLICIES
from training.methods.cross_protocol import Config
from training.models import branches

# What the paper leaves open: stage 1 is as long as stage 2; the extra convolution is 1x1 and keeps the width
OPTIONS = Config(epochs=500, decay_at=(), fine_epochs=500, fine_decay_at=(), backbone_lr=1e-7)
PLACES: dict[str, Any] = {"vanilla": "all"}  # the batch norms that SepBN replaces; BN3 of the other trunks


def text_of(cell: Cell) -> str:
    """The file of a cell."""
    vanilla = cell.trunk == "vanilla"
    network = branches.Config.model_validate(
        {
            "backbone": BACKBONES[cell.trunk][0],
            "pretrained": not vanilla,
            "cells": 2 if vanilla else 0,  # 2048 x 2 x 2 flattened; the others' maps are averaged
            "slope": 0.01 if vanilla else 0.0,
            "sepbn": {"places": PLACES.get(cell.trunk, (3,))} if cell.sepbn else None,
        }
    )
    further = [{"set": name, "split": "train", "crop": "sepbn"} for name in UNION if name != cell.set]
    data = Data.model_validate(
        {"set": cell.set, "unlabelled": "none", "crop": "sepbn", "also": further} | SETS[cell.set]
    )
    tables: dict[str, Any] = {
        "data": data, "network": network, "crop": POLICIES[data.crop].rule, "schedule": SCHEDULE, "augment": AUGMENT,
        "options": Config.model_validate(OPTIONS.model_dump()),
    }  # fmt: skip
    head = {"method": "cross_protocol", "name": cell.name.replace("/", "-").replace("_", "-"), "codec": "coords"}
    parts = [_comment(cell), *lines_of(head)]
    for title, table in tables.items():
        parts += ["", f"[{title}]", *lines_of(table.model_dump(exclude_none=True))]
    for table, metric, value in cell.figures:
        target = Target.model_validate(
            {
                "paper": "SepBN",
                "table": table,
                "row": cell.row,
                "metric": metric,
                "unit": UNITS[metric],
                "value": value,
            }
        )
        parts += ["", "[[target]]", *lines_of(target.model_dump(exclude_none=True))]
    return "\n".join(parts) + "\n"


def write() -> None:
    """Write every file."""
    for cell in cells():
        path = FOLDER / f"{cell.name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(cell), encoding="utf-8")


def _comment(cell: Cell) -> str:
    numbers = list(dict.fromkeys(table for table, _, _ in cell.figures))
    printed = dict.fromkeys(f"{NAMES[metric]} {value:.2f} {UNITS[metric]}" for _, metric, value in cell.figures)
    said = ", ".join([*printed, *([cell.others] if cell.others else [])])
    also = " ".join(f"--also {COPIES[name]} {name}" for name in UNION if name != cell.set)
    return (
        f"# SepBN, Table{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}, {cell.row}: five sets, then "
        f"{TITLES.get(cell.set, cell.set.upper())} alone.\n"
        f"# Published: {said}.\n"
        f"# lmdeploy train {cell.name} --data {COPIES[cell.set]} {also} --out RUN\n"
        '# Stage 1 is the same for every set: start = "init" and --init RUN/stages/joint.safetensors of another cell.'
    )


if __name__ == "__main__":
    write()
