"""Which run each cell of STLD's tables is: method, network, images and what differs from the method's own defaults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.oracles import stld_tables as tables

TF = {"epochs": 360, "decay_at": (240, 320)}  # Section V-B; HM's lengths are the methods' own defaults
TF_PRETRAIN = {"pretrain_epochs": 360, "pretrain_decay_at": (240, 320)}
HRNET = {"oversample": 1000}  # of the release; R18 has 100
RIVALS = {
    "PL": "pseudo_label", "Data Dist.": "data_distillation", "CL": "curriculum_labeling",
    "Easy-hard Aug.": "easy_hard", "FixMatch": "fixmatch", "DST": "dst",
}  # fmt: skip
SETS: dict[str, dict[str, Any]] = {
    "300w": {"crop": "stld_300w", "test": ["full", "common", "challenging"], "normaliser": "inter-ocular"},
    "wflw": {"crop": "stld_wflw", "test": ["test"], "normaliser": "inter-ocular"},
    "aflw": {"crop": "stld_aflw", "test": ["test"], "normaliser": "image size"},
    "hand": {"crop": "whole_512", "test": ["test"], "normaliser": "wrist width", "frame": "image"},
}


@dataclass(frozen=True)
class Cell:
    """One recipe. network: hm or tf, and r18, r50, hrnet or vit. targets: (table, metric, value)."""

    folder: str
    file: str
    row: str
    method: str
    network: tuple[str, str]
    data: dict[str, Any]
    targets: tuple[tuple[str, str, float], ...]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"stld/{self.folder}/{self.file}"


def cells() -> list[Cell]:
    """Every cell of Tables I, III, IV and V, with Table II's figures."""
    return [*_table_i(), *_table_iii(), *_table_iv(), *_table_v()]


def _table_i() -> Iterator[Cell]:
    """Table II's figures stand with the runs of Table I they are of."""
    for row, by_set in tables.TABLE_I.items():
        for (name, ratios), values in zip(tables.RATIOS.items(), by_set, strict=True):
            for (ratio, labelled), value in zip(ratios.items(), values, strict=True):
                more = tables.TABLE_II.get(row, {}).get(ratio) if name == "300w" else None
                targets = [("I", "nme", value)]
                targets += [] if more is None else [("II", "auc", more[0]), ("II", "fr", more[1])]
                yield _run(f"{name}_{ratio}", row, _data(name, labelled), tuple(targets))


def _table_iii() -> Iterator[Cell]:
    for row, values in tables.TABLE_III.items():
        for thousands, value in values.items():
            other = {"set": "celeba", "split": f"{thousands}k", "count": 0, "crop": "celeba"}
            data = _data("300w", "all") | {"unlabelled": "other", "other": other}
            yield _run(f"300w_omni_{thousands}k", row, data, (("III", "nme", value),))


def _table_iv() -> Iterator[Cell]:
    """The paper's 12K images of RSNA are taken as 12,000 of its 12,611."""
    rsna = {"set": "rsna", "split": "train", "count": 12000, "crop": "whole_512"}
    for row, value in tables.TABLE_IV.items():
        head = row[-2:].lower()
        target = (("IV", "mre_mm", value),)
        longer = TF if head == "tf" else {}
        if row.startswith("Ours"):
            options = longer | (TF_PRETRAIN if longer else {})
            data = _data("hand", "all") | {"unlabelled": "other", "other": rsna}
            yield Cell("hand_omni_12k", f"stld_{head}_r50", row, "stld", (head, "r50"), data, target, options)
        else:
            data = _data("hand", "all") | {"unlabelled": "none"}
            yield Cell("hand", f"{head}_r50", row, "supervised", (head, "r50"), data, target, longer)


def _table_v() -> Iterator[Cell]:
    for row, pretraining in {"No Pretrain": "none", "MAE": "mae", "PP": "pp"}.items():
        for (ratio, labelled), value in zip(tables.RATIOS["300w"].items(), tables.TABLE_V[row], strict=True):
            file, options = f"{row.lower().replace(' ', '_')}_vit", {"pretraining": pretraining}
            data, target = _data("300w", labelled), (("V", "nme", value),)
            yield Cell(f"300w_{ratio}", file, row, "mae", ("hm", "vit"), data, target, options)


def _run(folder: str, row: str, data: dict[str, Any], targets: tuple[tuple[str, str, float], ...]) -> Cell:
    """A row of Table I or III: a rival on HM-R18, or STLD-<head>[-<backbone>]."""
    if row in RIVALS:
        file = row.lower().rstrip(".").removesuffix(" aug").replace(" ", "_").replace("-", "_")
        return Cell(folder, file, row, RIVALS[row], ("hm", "r18"), data, targets)
    head, backbone = [*row.removeprefix("STLD-").lower().split("-"), "r18"][:2]
    options = (TF | TF_PRETRAIN if head == "tf" else {}) | (HRNET if backbone == "hrnet" else {})
    return Cell(folder, f"stld_{head}_{backbone}", row, "stld", (head, backbone), data, targets, options)


def _data(name: str, labelled: int | str) -> dict[str, Any]:
    return {"set": name, "labelled": labelled} | SETS[name]
