"""The recipe of each of SCAF's cells."""

from __future__ import annotations

from tests.oracles.recipe_files import TOTALS, Paper, command, dashed, file_text, options_of, targets_of, title
from tests.oracles.scaf_cells import AUTOENCODER, Cell, cells
from training.augment import config
from training.data.published import Data
from training.data.sets.policy import POLICIES
from training.engine.fit import Schedule
from training.models.scaf import FabRecConfig, ScafConfig
from training.recipe import Recipe

LANDMARK_VIEWS = config.Config(
    translate=0.04, scale=0.06, p_rotate=1.0, rotate=30.0, p_occlude=0.0, p_blur=0.0, p_grey=0.0, brightness=0.0,
    contrast=0.0, saturation=0.0, noise=0.0, shear=0.0875,
)  # fmt: skip
"""3FabRec's landmark training: flip, rotation, shift, scale 0.94 to 1.05, shear of 5 degrees."""


def text_of(cell: Cell) -> str:
    """The file of a cell."""
    data = Data.model_validate(cell.data)
    built = Recipe(
        method=cell.method,
        name=dashed(cell.file, cell.folder),
        codec="scaf",
        data=data,
        network={"fabrec": FabRecConfig, "scaf": ScafConfig}[cell.network](),
        crop=POLICIES[data.crop].rule,
        schedule=Schedule(batch=40, lr=1e-3),
        augment=LANDMARK_VIEWS,
        options=options_of(cell.method, cell.options),
        target=tuple(
            target
            for table, row, value in cell.targets
            for target in targets_of("SCAF", row, [(table, "nme", value, None)])
        ),
    )
    return file_text(_comment(cell, data), built)


def _comment(cell: Cell, data: Data) -> list[str]:
    budget = cell.options.get("budget", data.labelled)
    labelled = "all" if budget == "all" else f"{budget} of {TOTALS[data.set]:,}"
    where = "; ".join(f"Table {table}, {row}: NME {value:.2f} %" for table, row, value in cell.targets)
    said = f"SCAF, {where}{cell.more}. {title(data.set)}, {labelled} images labelled"
    if data.other is None:
        return [f"{said}.", command(cell.name, data)]
    note = "trains the auto-encoder that all other cells take, on CelebA and 300W"
    return [f"{said}; {note}.", command(cell.name, data, out=AUTOENCODER)]


PAPER = Paper("scaf", cells, text_of)
