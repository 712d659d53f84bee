"""Writes the recipes of SCAF's cells, each complete: `python -m tests.oracles.scaf_recipes`; a test compares them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.oracles.scaf_cells import AUTOENCODER, Cell, cells
from training import recipe
from training.augment import config
from training.data.published import Data, Target
from training.data.sets.policy import POLICIES
from training.engine.fit import Schedule
from training.methods import METHODS
from training.models import KINDS
from training.toml_text import toml_text

FOLDER = Path(recipe.__file__).parent / "recipes"
TITLES = {"300w": "300W", "wflw": "WFLW"}
TOTALS = {"300w": 3148, "wflw": 7500}
LANDMARK_VIEWS = config.Config(
    translate=0.04, scale=0.06, p_rotate=1.0, rotate=30.0, p_occlude=0.0, p_blur=0.0, p_grey=0.0, brightness=0.0,
    contrast=0.0, saturation=0.0, noise=0.0, shear=0.0875,
)  # fmt: skip
"""3FabRec's landmark training: flip, rotation, shift, scale 0.94 to 1.05, shear of 5 degrees."""


def text_of(cell: Cell) -> str:
    """The file of a cell."""
    data = Data.model_validate(cell.data)
    tables: dict[str, Any] = {
        "method": cell.method, "name": f"{cell.file}-{cell.folder}".replace("_", "-"), "codec": "scaf",
        "data": data, "network": KINDS[cell.network].config.model_validate({}), "crop": POLICIES[data.crop].rule,
        "schedule": Schedule(batch=40, lr=1e-3), "augment": LANDMARK_VIEWS,
        "options": METHODS[cell.method].config.model_validate(cell.options),
    }  # fmt: skip
    plain = {k: v if isinstance(v, str) else v.model_dump(exclude_none=True) for k, v in tables.items()}
    targets = [
        Target(paper="SCAF", table=table, row=row, metric="nme", unit="%", value=value)
        for table, row, value in cell.targets
    ]
    return "\n".join([_comment(cell, data), toml_text(plain), *(_target(target) for target in targets)])


def _target(target: Target) -> str:
    return f"[[target]]\n{toml_text(target.model_dump())}"


def _comment(cell: Cell, data: Data) -> str:
    budget = cell.options.get("budget", data.labelled)
    labelled = "all" if budget == "all" else f"{budget} of {TOTALS[data.set]:,}"
    where = "; ".join(f"Table {table}, {row}: NME {value:.2f} %" for table, row, value in cell.targets)
    images, command = f"{TITLES[data.set]}, {labelled} images labelled", f"lmdeploy train {cell.name}"
    command += f" --data {data.set.upper()}"
    if data.other is not None:
        note = "trains the auto-encoder that all other cells take, on CelebA and 300W"
        return f"# SCAF, {where}{cell.more}. {images}; {note}.\n# {command} --unlabelled CELEBA --out {AUTOENCODER}"
    return f"# SCAF, {where}{cell.more}. {images}.\n# {command} --out RUN"


def write() -> None:
    """Write every file; what stands there and is no cell is left alone, and the test names it."""
    for cell in cells():
        path = FOLDER / f"{cell.name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(cell), encoding="utf-8")


if __name__ == "__main__":
    write()
