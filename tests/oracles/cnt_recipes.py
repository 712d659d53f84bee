"""The recipe of each of CNT's cells, in the paper of SepBN."""

from __future__ import annotations

from typing import Any

from tests.oracles.cnt_cells import COPIES, UNION, Cell, cells
from tests.oracles.recipe_files import Paper, dashed, file_text, printed, said_tables, targets_of, title
from tests.oracles.sepbn_cells import BACKBONES, SETS
from tests.oracles.sepbn_recipes import AUGMENT, SCHEDULE
from training.data.published import Data
from training.data.sets.policy import POLICIES
from training.methods.cross_protocol import Config
from training.models import branches
from training.recipe import Recipe

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
    built = Recipe(
        method="cross_protocol",
        name=dashed(cell.name),
        codec="coords",
        data=data,
        network=network,
        crop=POLICIES[data.crop].rule,
        schedule=SCHEDULE,
        augment=AUGMENT,
        options=OPTIONS.model_dump(),
        target=targets_of("SepBN", cell.row, [(*figure, None) for figure in cell.figures]),
    )
    return file_text(_comment(cell), built)


def _comment(cell: Cell) -> list[str]:
    figures = dict.fromkeys(printed(metric, value) for _, metric, value in cell.figures)
    said = ", ".join([*figures, *([cell.others] if cell.others else [])])
    where = said_tables((table for table, _, _ in cell.figures), ", ")
    also = " ".join(f"--also {COPIES[name]} {name}" for name in UNION if name != cell.set)
    return [
        f"SepBN, {where}, {cell.row}: five sets, then {title(cell.set)} alone.",
        f"Published: {said}.",
        f"lmdeploy train {cell.name} --data {COPIES[cell.set]} {also} --out RUN",
        'Stage 1 is the same for every set: start = "init" and --init RUN/stages/joint.safetensors of another cell.',
    ]


PAPER = Paper("cnt", cells, text_of)
