"""The cells of the Blocks benchmark: the paper's Table 1, the recipes of each cell, and the orderings that must hold.

Errors are mean distances in px of the 60 px image, over landmarks and test images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from lmdeploy.geometry import CropRule
from training import recipe
from training.augment import config
from training.engine.fit import Schedule
from training.models import NetworkConfig
from training.recipe import Recipe

TRAIN = 3200
RATIOS = (1, 5, 10, 20, 50, 100)  # per cent of the training images with landmarks
TABLE_1: dict[tuple[str, str], tuple[float | None, ...]] = {
    ("seq_mt", "L"): (8.33, 3.95, 3.35, 1.98, 1.19, 0.44),
    ("seq_mt", "L+A"): (8.02, 3.45, 3.20, 1.67, 1.05, 0.38),
    ("seq_mt", "L+ELT"): (6.42, 1.94, 1.37, 1.16, 0.85, None),
    ("seq_mt", "L+ELT+A"): (6.25, 1.70, 1.26, 1.07, 0.74, None),
    ("comm_mt", "L"): (12.89, 11.56, 10.72, 9.39, 5.04, 3.41),
    ("comm_mt", "L+A"): (12.28, 11.19, 10.36, 9.01, 4.21, 2.97),
    ("heatmap_mt", "L"): (10.09, 6.59, 5.27, 3.82, 2.78, 2.01),
    ("heatmap_mt", "L+A"): (9.27, 6.35, 5.62, 3.75, 3.14, 2.23),
}
ORDERINGS = (  # the first is to be smaller
    (("seq_mt", "L+ELT"), ("seq_mt", "L")),
    (("seq_mt", "L+ELT+A"), ("seq_mt", "L+ELT")),
    (("seq_mt", "L"), ("heatmap_mt", "L")),
    (("heatmap_mt", "L"), ("comm_mt", "L")),
)
PLAIN = config.Config(
    p_translate=0, p_scale=0, p_rotate=0, p_flip=0, p_occlude=0, p_blur=0, p_grey=0, brightness=0, contrast=0,
    saturation=0, noise=0,
)  # fmt: skip
WHOLE = CropRule(kind="stretch", scale=1.0, size=60)


@dataclass(frozen=True, slots=True)
class Plan:
    """What all cells share.

    steps: optimiser steps of every trial, the same for all. batch: labelled images of a step (as many unlabelled ones
    beside them where a cell uses any). side: of the maps of Seq-MT and Heatmap-MT, px; the images are shrunk to it
    (Comm-MT always sees 60 px). train: training images. valid: images by which a cell's trials are compared. test:
    images that are measured.
    """

    steps: int
    batch: int
    lr: float
    side: int = 60
    channels: int = 32
    train: int = TRAIN
    test: int = TRAIN
    valid: int = TRAIN
    precision: str = "bf16"

    @property
    def images(self) -> dict[str, int]:
        """How many there are, by what they are for."""
        return {"train": self.train, "valid": self.valid, "test": self.test}


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the table and a seed."""

    kind: str
    variant: str
    ratio: int
    seed: int

    @property
    def name(self) -> str:
        """Part of file names and figures."""
        return f"{self.kind}_{self.variant.lower().replace('+', '_')}_{self.ratio}_{self.seed}"

    @property
    def published(self) -> float | None:
        """The paper's px, the mean of five seeds; None where it has none."""
        return TABLE_1[self.kind, self.variant][RATIOS.index(self.ratio)]


@dataclass(frozen=True, slots=True)
class Trial:
    """A cell with a weight of ELT (alpha) and of the attribute's loss; 0 where its variant has none."""

    cell: Cell
    alpha: float = 0.0
    attribute: float = 0.0

    @property
    def name(self) -> str:
        """Part of file names."""
        parts = [self.cell.name, f"elt{self.alpha:g}", f"attribute{self.attribute:g}"]
        return "-".join(part for part, shown in zip(parts, (1, self.alpha, self.attribute), strict=True) if shown)


def trials_of(cell: Cell, alphas: Sequence[float], attributes: Sequence[float]) -> list[Trial]:
    """The trials among which the validation images choose: every pair of the weights that the variant has."""
    losses = cell.variant.split("+")
    return [
        Trial(cell, alpha, attribute)
        for alpha in (alphas if "ELT" in losses else (0.0,))
        for attribute in (attributes if "A" in losses else (0.0,))
    ]


def cells(kinds: list[str], ratios: list[int], seeds: list[int], variants: list[str]) -> list[Cell]:
    """The asked-for cells that the paper has, ratio by ratio."""
    wanted = [
        Cell(kind, variant, ratio, seed)
        for seed in seeds
        for ratio in ratios
        for kind, variant in TABLE_1
        if kind in kinds and (variant in variants)
    ]
    return [cell for cell in wanted if cell.published is not None]


def labelled_of(plan: Plan, ratio: int) -> int:
    """How many images have landmarks."""
    return max(plan.train * ratio // 100, 2)


def recipe_of(trial: Trial, plan: Plan) -> Recipe:
    """The trial as a recipe: losses by its weights, epochs such that it takes about plan.steps steps."""
    cell = trial.cell
    side = 60 if cell.kind == "comm_mt" else plan.side
    fields = {"kind": cell.kind, "channels": plan.channels, "side": side}
    network: NetworkConfig = TypeAdapter(NetworkConfig).validate_python(fields)
    alone = cell.variant == "L"
    options: dict[str, Any] = {"attribute": trial.attribute, "alpha": trial.alpha, "labelled_only": alone}
    labelled = labelled_of(plan, cell.ratio)
    unlabelled = 0 if alone else plan.train - labelled
    epoch = unlabelled or plan.train
    options |= {"mu": 1 if unlabelled else 0, "oversample": plan.train, "head_rate": 10.0}
    options |= {"epochs": max(round(plan.steps / max(epoch // plan.batch, 1)), 1)}
    made = Recipe(
        method="seq_mt", name=f"blocks-{cell.kind}".replace("_", "-"), codec=network.codecs[0],
        network=network,
        crop=WHOLE, schedule=Schedule(batch=plan.batch, lr=plan.lr, decay="cosine", warm_up=0.05), augment=PLAIN,
        options=options,
    )  # fmt: skip
    return recipe.checked(made, "blocks")
