"""The recipe of each of STLD's cells."""

from __future__ import annotations

from tests.oracles.recipe_files import (
    TOTALS,
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
from tests.oracles.stld_cells import Cell, cells
from training.augment import config
from training.data.published import Data
from training.data.sets.policy import POLICIES
from training.models import heatmap, transformer
from training.recipe import Recipe

CODECS = {"hm": "stld", "tf": "coords"}
BACKBONES = {
    "r18": "resnet18.tv_in1k",
    "r50": "resnet50.tv_in1k",
    "hrnet": "hrnet_w18.ms_in1k",
    "vit": "vit_base_patch16_224.mae",
}
BACKBONE_OPTIONS = {"hrnet": {"exchange": "bilinear"}}  # as in the release


def text_of(cell: Cell) -> str:
    """The file of a cell."""
    head, backbone = cell.network
    network = {"hm": heatmap.Config, "tf": transformer.Config}[head]
    data = Data.model_validate(cell.data)
    built = Recipe(
        method=cell.method,
        name=dashed(cell.file, cell.folder),
        codec=CODECS[head],
        data=data,
        network=network.model_validate(
            {
                "backbone": BACKBONES[backbone],
                "backbone_options": BACKBONE_OPTIONS.get(backbone, {}),
                "pretrained": True,
            }
        ),
        crop=POLICIES[data.crop].rule,
        # hands have no mirror twins
        augment=config.STLD.model_copy(update={"p_flip": 0.0} if data.set == "hand" else {}),
        options=options_of(cell.method, cell.options),
        target=targets_of("STLD", cell.row, [(*figure, None) for figure in cell.targets]),
    )
    return file_text(_comment(cell, data), built)


def _comment(cell: Cell, data: Data) -> list[str]:
    images = f"{title(data.set)}, {data.labelled} of {TOTALS[data.set]:,} labelled"
    if data.other is not None:
        images += f", {data.other.count or data.other.split} of {title(data.other.set)} unlabelled"
    figures = ", ".join(printed(metric, value) for _, metric, value in cell.targets)
    where = said_tables(number for number, _, _ in cell.targets)
    return [f"STLD, {where}, row {cell.row}: {images}. Published: {figures}.", command(cell.name, data)]


PAPER = Paper("stld", cells, text_of)
