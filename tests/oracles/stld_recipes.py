"""Writes the recipes of STLD's cells, each complete: `python -m tests.oracles.stld_recipes`; a test compares them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tests.oracles.stld_cells import Cell, cells
from training import recipe
from training.augment import config
from training.data.published import Data, Target
from training.data.sets.policy import POLICIES
from training.engine.fit import Schedule
from training.methods import METHODS
from training.models import heatmap, transformer

FOLDER = Path(recipe.__file__).parent / "recipes"
HEADS: dict[str, tuple[type[BaseModel], str]] = {
    "hm": (heatmap.Config, "stld"),
    "tf": (transformer.Config, "coords"),
}
BACKBONES = {
    "r18": "resnet18.tv_in1k",
    "r50": "resnet50.tv_in1k",
    "hrnet": "hrnet_w18.ms_in1k",
    "vit": "vit_base_patch16_224.mae",
}
TITLES = {"300w": "300W", "wflw": "WFLW", "aflw": "AFLW", "hand": "Hand", "celeba": "CelebA", "rsna": "RSNA"}
NAMES = {"nme": "NME", "auc": "AUC", "fr": "FR", "mre_mm": "MRE"}
UNITS = {"nme": "%", "auc": "%", "fr": "%", "mre_mm": "mm"}
TOTALS = {"300w": 3148, "wflw": 7500, "aflw": 20000, "hand": 609}


def text_of(cell: Cell) -> str:
    """The file of a cell."""
    config_of, codec = HEADS[cell.network[0]]
    network = config_of.model_validate({"backbone": BACKBONES[cell.network[1]], "pretrained": True})
    data = Data.model_validate(cell.data)
    # hands have no mirror twins
    augment = config.STLD.model_copy(update={"p_flip": 0.0} if data.set == "hand" else {})
    head = {"method": cell.method, "name": f"{cell.file}-{cell.folder}".replace("_", "-"), "codec": codec}
    tables = {
        "data": data,
        "network": network,
        "crop": POLICIES[data.crop].rule,
        "schedule": Schedule(),
        "augment": augment,
        "options": METHODS[cell.method].config.model_validate(cell.options),
    }
    parts = [_comment(cell, data), *lines_of(head)]
    for name, table in tables.items():
        parts += ["", f"[{name}]", *lines_of(table.model_dump(exclude_none=True))]
    for number, metric, value in cell.targets:
        target = Target.model_validate(
            {
                "paper": "STLD",
                "table": number,
                "row": cell.row,
                "metric": metric,
                "unit": UNITS[metric],
                "value": value,
            }
        )
        parts += ["", "[[target]]", *lines_of(target.model_dump(exclude_none=True))]
    return "\n".join(parts) + "\n"


def write() -> None:
    """Write every file; what stands there and is no cell is left alone, and the test names it."""
    for cell in cells():
        path = FOLDER / f"{cell.name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(cell), encoding="utf-8")


def _comment(cell: Cell, data: Data) -> str:
    labelled = "all" if data.labelled == "all" else data.labelled
    images, more = f"{TITLES[data.set]}, {labelled} of {TOTALS[data.set]:,} labelled", ""
    if data.other is not None:
        images += f", {data.other.count or data.other.split} of {TITLES[data.other.set]} unlabelled"
        more = f" --unlabelled {data.other.set.upper()}"
    printed = ", ".join(f"{NAMES[metric]} {value:.2f} {UNITS[metric]}" for _, metric, value in cell.targets)
    numbers = list(dict.fromkeys(number for number, _, _ in cell.targets))
    where = f"Table{'s' if len(numbers) > 1 else ''} {' and '.join(numbers)}"
    return (
        f"# STLD, {where}, row {cell.row}: {images}. Published: {printed}.\n"
        f"# lmdeploy train {cell.name} --data {data.set.upper()}{more} --out RUN"
    )


def lines_of(values: dict[str, Any]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in values.items()]


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(lines_of(value)) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value)


if __name__ == "__main__":
    write()
