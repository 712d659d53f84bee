"""The recipe of each of the SMT paper's cells.

What the paper does not state is the method specification's [R]: Adam, batches of 64, 300 epochs, gamma 1e-5; the step
size is ours (1e-3 stays on the plateau of the figure's centre), and so is the fixed length instead of early stopping.
"""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from tests.oracles.recipe_files import Figure, Paper, command, dashed, file_text, targets_of, title
from tests.oracles.smt_cells import TRAIN, Cell, cells
from training.augment import config
from training.data.published import Data
from training.data.sets.policy import POLICIES
from training.engine.fit import Schedule
from training.methods import seq_mt
from training.models import NetworkConfig
from training.recipe import Recipe

PLAIN = config.Config(
    p_translate=0, p_scale=0, p_rotate=0, p_flip=0, p_occlude=0, p_blur=0, p_grey=0, brightness=0, contrast=0,
    saturation=0, noise=0,
)  # fmt: skip
SETS: dict[str, dict[str, Any]] = {
    "blocks": {"crop": "whole_60", "test": ["test"], "normaliser": "image size"},
    "hgr1": {"crop": "whole_64", "test": ["test"], "normaliser": "wrist width"},
    "multipie": {"crop": "smt", "test": ["test"], "normaliser": "inter-pupil"},
    "300w": {"crop": "smt", "test": ["full", "common", "challenging"], "normaliser": "inter-pupil"},
    "aflw": {"crop": "sepbn", "test": ["test"], "normaliser": "face size"},
}
ATTRIBUTES = {"blocks": "figure:15", "hgr1": "gesture:27", "multipie": "emotion:6,camera:5", "aflw": "yaw,pitch,roll"}
ROWS = {"seq_mt": "Seq-MT", "comm_mt": "Comm-MT", "heatmap_mt": "Heatmap-MT", "rcn": "RCN+", "rcn_plain": "RCN"}


def text_of(cell: Cell) -> str:
    """The file of a cell."""
    kind = cell.kind.removesuffix("_plain")
    network: NetworkConfig = TypeAdapter(NetworkConfig).validate_python({"kind": kind})
    options = _options(cell)
    data = Data.model_validate(
        {"set": cell.set, "labelled": cell.labelled, "unlabelled": "none" if options.labelled_only else "rest"}
        | {"frame": "image"}
        | SETS[cell.set]
    )
    built = Recipe(
        method="seq_mt",
        name=dashed(cell.name),
        codec="pixel" if cell.kind == "rcn_plain" else network.codecs[0],
        data=data,
        network=network,
        crop=POLICIES[data.crop].rule.model_copy(update={"size": 80 if kind == "rcn" else 60}),
        schedule=Schedule(batch=64, lr=3e-4, weight_decay=0.0 if kind == "rcn" else 1e-5),
        augment=PLAIN,
        options=options.model_dump(),
        target=targets_of("SMT", _row(cell), [_per_cent(cell, *figure) for figure in cell.figures]),
    )
    return file_text(_comment(cell, data), built)


def _per_cent(cell: Cell, table: str, split: str, value: float) -> Figure:
    """A printed figure; px of Blocks as a share of its 60 px image."""
    return table, "nme", round(value / 0.6, 2) if cell.set == "blocks" else value, split or None


def _row(cell: Cell) -> str:
    """As the tables name it."""
    return f"{ROWS[cell.kind]} ({cell.variant})"


def _options(cell: Cell) -> seq_mt.Config:
    words = cell.variant.split("+")
    rcn = cell.kind.startswith("rcn")
    alpha = (0.5 if rcn else 1.0) if "ELT" in words else 0.0
    everything = cell.ratio in ("100", "all_train")
    return seq_mt.Config(
        attribute=float("A" in words), alpha=alpha, elt_on="all" if cell.set in ("300w", "aflw") else "unlabelled",
        labelled_only=everything or cell.variant == "L", epochs=300, oversample=TRAIN[cell.set],
    )  # fmt: skip


def _comment(cell: Cell, data: Data) -> list[str]:
    labelled = "all" if cell.labelled == "all" else f"{cell.labelled} of {TRAIN[cell.set]:,}"
    unit = "px" if cell.set == "blocks" else "%"
    figures = ", ".join(
        f"{value:.2f} {unit}{f' ({split})' if split else ''}, Table {n}" for n, split, value in cell.figures
    )
    lines = [
        f"SMT, row {_row(cell)}: {title(cell.set)}, {labelled} labelled. Published: {figures}.",
        command(cell.name, data),
    ]
    if "A" in cell.variant.split("+"):
        lines.append(f"Needs attributes.csv in the data's folder: image,{ATTRIBUTES[cell.set]}")
    return lines


PAPER = Paper("seq_mt", cells, text_of)
