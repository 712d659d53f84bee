"""The rows CNT and CNT+SepBN of SepBN's Tables VII, VIII, IX and XI as printed: one run each.

Figures are (table, metric, value) on the first test split; `others` those of further splits, for the comment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

# All training images of five sets (Section V-A) and how many: 41,763 in all.
UNION = {"aflw": 20000, "cofw": 1345, "widerface": 9770, "300w": 3148, "wflw": 7500}
COPIES = {"aflw": "AFLW", "cofw": "COFW", "widerface": "WIDER", "300w": "300W", "wflw": "WFLW"}

# Set: NME of CNT and of CNT+SepBN, Vanilla CNN (Tables VII, VIII, IX).
VANILLA = {"cofw": ("VII", 3.84, 3.63), "aflw": ("VIII", 1.61, 1.57), "wflw": ("IX", 5.33, 5.26)}
FAILURES = {"cofw": (0.20, 0.00)}  # FR at 10 %, %
OTHERS = {
    "aflw": ("frontal 1.42", "frontal 1.37"),
    "wflw": (
        "pose 9.46, expression 5.91, illumination 5.17, make-up 5.20, occlusion 6.55, blur 6.09",
        "pose 9.33, expression 5.79, illumination 5.09, make-up 5.20, occlusion 6.43, blur 6.03",
    ),
}
# Trunk: set -> NME of CNT and of CNT+SepBN (Table XI; the Vanilla CNN's are those of the other tables).
TABLE_XI = {
    "mobilenetv2": {"cofw": (3.57, 3.56), "wflw": (5.18, 5.13), "aflw": (1.64, 1.60)},
    "resnext50": {"cofw": (3.49, 3.47), "wflw": (4.88, 4.87), "aflw": (1.48, 1.48)},
}


@dataclass(frozen=True)
class Cell:
    """One recipe: the set that stage 2 is on, the trunk, whether it has separable batch norms, and its figures."""

    set: str
    trunk: str
    sepbn: bool
    row: str
    figures: tuple[tuple[str, str, float], ...]
    others: str = ""

    @property
    def name(self) -> str:
        return f"cnt/{self.set}/{self.trunk}{'_sepbn' if self.sepbn else ''}"


def cells() -> list[Cell]:
    """Every cell."""
    return [*_vanilla(), *_others()]


def _vanilla() -> Iterator[Cell]:
    for name, (table, *values) in VANILLA.items():
        for i, value in enumerate(values):
            figures = [(table, "nme", value), ("XI", "nme", value)]
            figures += [(table, "fr", FAILURES[name][i])] if name in FAILURES else []
            others = OTHERS[name][i] if name in OTHERS else ""
            yield Cell(name, "vanilla", i == 1, f"Vanilla CNN ({_row(i)})", tuple(figures), others)


def _others() -> Iterator[Cell]:
    titles = {"mobilenetv2": "MobileNetV2", "resnext50": "ResNeXt-50"}
    for trunk, by_set in TABLE_XI.items():
        for name, values in by_set.items():
            for i, value in enumerate(values):
                yield Cell(name, trunk, i == 1, f"{titles[trunk]} ({_row(i)})", (("XI", "nme", value),))


def _row(i: int) -> str:
    return "CNT+SepBN" if i else "CNT"
