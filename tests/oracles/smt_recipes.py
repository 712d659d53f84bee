"""Writes the recipes of the SMT paper's cells, each complete: `python -m tests.oracles.smt_recipes`.

What the paper does not state is the method specification's [R]: Adam, batches of 64, 300 epochs, gamma 1e-5; the step
size is ours (1e-3 stays on the plateau of the figure's centre), and so is the fixed length instead of early stopping.
"""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from tests.oracles.smt_cells import TRAIN, Cell, cells
from tests.oracles.stld_recipes import FOLDER, lines_of
from training.augment import config
from training.data.published import Data, Target
from training.data.sets.policy import POLICIES
from training.engine.fit import Schedule
from training.methods import seq_mt
from training.models import NetworkConfig

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
TITLES = {"blocks": "Blocks", "hgr1": "HGR1", "multipie": "Multi-PIE", "300w": "300W", "aflw": "AFLW"}
ROWS = {"seq_mt": "Seq-MT", "comm_mt": "Comm-MT", "heatmap_mt": "Heatmap-MT", "rcn": "RCN+", "rcn_plain": "RCN"}


def text_of(cell: Cell) -> str:
    """The file of a cell."""
    kind = cell.kind.removesuffix("_plain")
    network: NetworkConfig = TypeAdapter(NetworkConfig).validate_python({"kind": kind})
    codec = "pixel" if cell.kind == "rcn_plain" else network.codecs[0]
    options = _options(cell)
    data = Data.model_validate(
        {"set": cell.set, "labelled": cell.labelled, "unlabelled": "none" if options.labelled_only else "rest"}
        | {"frame": "image"}
        | SETS[cell.set]
    )
    head = {"method": "seq_mt", "name": cell.name.replace("_", "-").replace("/", "-"), "codec": codec}
    tables = {
        "data": data,
        "network": network,
        "crop": POLICIES[data.crop].rule.model_copy(update={"size": 80 if kind == "rcn" else 60}),
        "schedule": Schedule(batch=64, lr=3e-4, weight_decay=0.0 if kind == "rcn" else 1e-5),
        "augment": PLAIN,
        "options": options,
    }
    parts = [_comment(cell), *lines_of(head)]
    for name, table in tables.items():
        parts += ["", f"[{name}]", *lines_of(table.model_dump(exclude_none=True))]
    for target in targets(cell):
        parts += ["", "[[target]]", *lines_of(target.model_dump(exclude_none=True))]
    return "\n".join(parts) + "\n"


def targets(cell: Cell) -> list[Target]:
    """The printed figures; px of Blocks as a share of its 60 px image."""
    found = []
    for table, split, value in cell.figures:
        fields: dict[str, Any] = {"paper": "SMT", "table": table, "row": row_of(cell), "metric": "nme", "unit": "%"}
        fields |= {"value": round(value / 0.6, 2) if cell.set == "blocks" else value, "split": split or None}
        found.append(Target.model_validate(fields))
    return found


def row_of(cell: Cell) -> str:
    """As the tables name it."""
    return f"{ROWS[cell.kind]} ({cell.variant})"


def write() -> None:
    """Write every file; what stands there and is no cell is left alone, and the test names it."""
    for cell in cells():
        path = FOLDER / f"{cell.name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(cell), encoding="utf-8")


def _options(cell: Cell) -> seq_mt.Config:
    words = cell.variant.split("+")
    rcn = cell.kind.startswith("rcn")
    alpha = (0.5 if rcn else 1.0) if "ELT" in words else 0.0
    everything = cell.ratio in ("100", "all_train")
    return seq_mt.Config(
        attribute=float("A" in words), alpha=alpha, elt_on="all" if cell.set in ("300w", "aflw") else "unlabelled",
        labelled_only=everything or cell.variant == "L", epochs=300, oversample=TRAIN[cell.set],
    )  # fmt: skip


def _comment(cell: Cell) -> str:
    labelled = "all" if cell.labelled == "all" else f"{cell.labelled} of {TRAIN[cell.set]:,}"
    unit = "px" if cell.set == "blocks" else "%"
    printed = ", ".join(
        f"{value:.2f} {unit}{f' ({split})' if split else ''}, Table {n}" for n, split, value in cell.figures
    )
    lines = [
        f"# SMT, row {row_of(cell)}: {TITLES[cell.set]}, {labelled} labelled. Published: {printed}.",
        f"# lmdeploy train {cell.name} --data {cell.set.upper()} --out RUN",
    ]
    if "A" in cell.variant.split("+"):
        lines.append(f"# Needs attributes.csv in the data's folder: image,{ATTRIBUTES[cell.set]}")
    return "\n".join(lines)


if __name__ == "__main__":
    write()
