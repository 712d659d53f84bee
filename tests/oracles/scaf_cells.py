"""Which run each cell of SCAF's tables is: method, network, images, and what differs from a method's defaults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.oracles import scaf_tables as tables

AUTOENCODER = "runs/scaf-autoencoder"  # where the cell that trains it is told to go; all others start from it
SETS: dict[str, dict[str, Any]] = {
    "300w": {"crop": "fabrec_300w", "test": ["full", "common", "challenging"], "normaliser": "inter-ocular"},
    "wflw": {"crop": "fabrec_wflw", "test": ["test"], "normaliser": "inter-ocular"},
}
NETWORKS = {"3FabRec": "fabrec", "SCAF": "scaf"}
STRATEGIES: dict[str, tuple[str, dict[str, Any]]] = {
    "NNM": ("nnm", {"strategy": "nnm", "discard": 0.0}),
    "Entropy": ("entropy", {"strategy": "entropy", "discard": 0.0}),
    "NNM_10%": ("nnm10", {"strategy": "nnm", "discard": 0.1}),
    "Entropy_10%": ("entropy10", {"strategy": "entropy", "discard": 0.1}),
    "K-center-greedy": ("k_center", {"strategy": "k_center", "discard": 0.0}),
}


@dataclass(frozen=True)
class Cell:
    """One recipe. network: fabrec or scaf. targets: (table, row, NME) on the first test split. more: a remark."""

    folder: str
    file: str
    method: str
    network: str
    data: dict[str, Any]
    targets: tuple[tuple[str, str, float], ...]
    options: dict[str, Any] = field(default_factory=dict)
    more: str = ""

    @property
    def name(self) -> str:
        return f"scaf/{self.folder}/{self.file}"


def cells() -> list[Cell]:
    """Every cell of Tables 1 to 4 that the authors ran."""
    return [*_random_300w(), *_random_wflw(), *_active()]


def _random_300w() -> Iterator[Cell]:
    for row, network in (("3FabRec (Our impl.)", "fabrec"), ("SCAF", "scaf")):
        for column, (common, challenging, full) in tables.TABLE_2[row].items():
            data = _data("300w", tables.LABELLED["300w"][column])
            pretrains = (network, column) == ("fabrec", "100")
            if pretrains:
                other = {"set": "celeba", "split": "all", "count": 0, "crop": "celeba"}
                data |= {"unlabelled": "other", "other": other}
            numbers = ("1", "2") if column == "100" else ("2",)
            yield Cell(
                f"300w_{column}", network, network, network, data, tuple((n, row, full) for n in numbers),
                {"autoencoder": "" if pretrains else AUTOENCODER},
                f", common {common:.2f}, challenging {challenging:.2f}",
            )  # fmt: skip


def _random_wflw() -> Iterator[Cell]:
    """Table 4's random rows are the runs of Table 3 where both have the column; 3FabRec skips its ITL-only stage."""
    budgets = list(tables.BUDGETS)
    for i, (row, network) in enumerate((("3FabRec (Our impl.)", "fabrec"), ("SCAF", "scaf"))):
        printed = tables.TABLE_3[row]
        for column, labelled in tables.LABELLED["wflw"].items():
            targets = [("1", row, printed[column])] if column == "100" else []
            targets += [("3", row, printed[column])] if column in printed else []
            if column in budgets:
                name = f"Random, {tuple(NETWORKS)[i]}"
                targets.append(("4", name, tables.TABLE_4["Random"][i][budgets.index(column)]))
            options = {"autoencoder": AUTOENCODER} | ({"itl_epochs": 0, "epochs": 100} if network == "fabrec" else {})
            yield Cell(f"wflw_{column}", network, network, network, _data("wflw", labelled), tuple(targets), options)


def _active() -> Iterator[Cell]:
    """SCAF+AL of Tables 2 and 3 is NNM_10%; in Table 3 those are runs of Table 4."""
    for column, (common, challenging, full) in tables.TABLE_2["SCAF+AL"].items():
        budget = {"10": 315, "5": 158, "50images": 50}[column]
        more = f", common {common:.2f}, challenging {challenging:.2f}"
        yield _bought("300w", column, "scaf", "NNM_10%", budget, (("2", "SCAF+AL", full),), more)
    for strategy in STRATEGIES:
        for i, (title, network) in enumerate(NETWORKS.items()):
            for j, (column, budget) in enumerate(tables.BUDGETS.items()):
                targets = [("4", f"{strategy}, {title}", tables.TABLE_4[strategy][i][j])]
                if (network, strategy) == ("scaf", "NNM_10%") and column in tables.TABLE_3["SCAF+AL"]:
                    targets.append(("3", "SCAF+AL", tables.TABLE_3["SCAF+AL"][column]))
                yield _bought("wflw", column, network, strategy, budget, tuple(targets))


def _bought(
    name: str, column: str, network: str, strategy: str, budget: int, targets: tuple[tuple[str, str, float], ...],
    more: str = "",
) -> Cell:  # fmt: skip
    file, chosen = STRATEGIES[strategy]
    options = chosen | {"autoencoder": AUTOENCODER, "budget": budget, "step": tables.STEPS[name][budget]}
    data = _data(name, "all")
    return Cell(f"{name}_{column}", f"{network}_{file}", "active_learning", network, data, targets, options, more)


def _data(name: str, labelled: int | str) -> dict[str, Any]:
    return {"set": name, "labelled": labelled, "unlabelled": "none"} | SETS[name]
