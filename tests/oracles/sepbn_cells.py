"""The cells of SepBN's tables without cross-protocol training: each run once, with every figure that it is behind.

Figures are (table, metric, value, split); split None is the first one of `test`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Figures = tuple[tuple[str, str, float, str | None], ...]
SUBSETS = ("test_pose", "test_expression", "test_illumination", "test_makeup", "test_occlusion", "test_blur")
SETS: dict[str, dict[str, Any]] = {
    "aflw": {"test": ["test", "frontal"], "normaliser": "image size"},
    "cofw": {"test": ["test"], "normaliser": "inter-ocular"},
    "wflw": {
        "test": ["test", *SUBSETS],
        "normaliser": "inter-ocular",
    },
}
BACKBONES = {
    "vanilla": ("vanilla_cnn", "Vanilla CNN"),
    "resnext50": ("resnext50_32x4d.a1h_in1k", "ResNeXt-50"),
    "mobilenetv2": ("mobilenetv2_100.ra_in1k", "MobileNetV2"),
}
TABLE_IV_TAU = {1: 1.69, 5: 1.63, 10: 1.64, 20: 1.67, 30: 1.66}
TABLE_IV_K = {2: 1.62, 4: 1.63, 5: 1.66, 6: 1.67, 7: 1.66}
TABLE_V_G = {1: 1.59, 8: 1.57, 64: 1.55}
TABLE_V_T = {1: 1.67, 2: 1.58, 4: 1.64}
TABLE_VI = {
    "last2": ((5, 6), 5.70),
    "last4": ((3, 4, 5, 6), 5.66),
    "first4": ((1, 2, 3, 4), 5.77),
    "first2": ((1, 2), 5.75),
}
TABLE_IX = {"BN": (10.56, 6.15, 5.50, 5.65, 7.27, 6.47), "SepBN": (9.97, 5.89, 5.36, 5.55, 6.83, 6.25)}
TABLE_X: dict[str, dict[str, float | None]] = {
    "resnext50": {"1": 4.03, "2": 4.12, "3": 3.51, "12": 4.03, "13": 3.80, "23": None, "123": None},
    "mobilenetv2": {"1": 4.07, "2": 4.03, "3": 3.96, "12": 4.08, "13": 4.02, "23": 4.10, "123": 4.05},
}
TABLE_XI = {  # BN and SepBN on COFW, WFLW, AFLW
    "resnext50": {"cofw": (3.95, 3.51), "wflw": (4.90, 4.85), "aflw": (1.50, 1.46)},
    "mobilenetv2": {"cofw": (5.07, 3.96), "wflw": (6.18, 5.31), "aflw": (1.66, 1.57)},
}


@dataclass(frozen=True)
class Cell:
    """One recipe: set, trunk, network.sepbn (None: plain batch norm), figures, and a note for the comment."""

    set: str
    file: str
    trunk: str
    row: str
    sepbn: dict[str, Any] | None
    figures: Figures
    note: str = ""
    method: str = "supervised"

    @property
    def name(self) -> str:
        return f"sepbn/{self.set}/{self.file}"


def cells() -> list[Cell]:
    """Every cell of Tables II to VI and X, and the rows without CNT of Tables VII, VIII, IX and XI."""
    return [*_aflw(), *_wflw(), *_cofw(), *_other_trunks()]


def _aflw() -> Iterator[Cell]:
    bn = [*_of(1.65, "II", "III", "VIII", "XI"), *_of(1.40, "III", "VIII", split="frontal")]
    ours = [*_of(1.55, "III", "IV", "V", "VIII", "XI"), *_of(1.39, "III", "VIII", split="frontal")]
    yield _vanilla("aflw", "bn", "BN", None, bn)
    brute = {"attention": "brute_force"}
    note = "the best of three passes for each picture"
    row = "Vanilla CNN (brute-force SepBN)"
    yield Cell("aflw", "vanilla_brute_force", "vanilla", row, brute, tuple(_of(1.56, "II")), note, "brute_force")
    hard = [*_of(1.86, "III"), *_of(1.60, "III", split="frontal")]
    yield _vanilla("aflw", "hard", "SepBN, hard aggregation", {"hard": True}, hard)
    yield _vanilla("aflw", "sepbn", "SepBN", {}, ours)
    for tau, value in TABLE_IV_TAU.items():
        options = {"tau": float(tau), "anneal_epochs": 0}
        yield _vanilla("aflw", f"tau{tau}", f"SepBN, tau = {tau}", options, _of(value, "IV"))
    for letter, field, table, by_value in (
        ("k", "sets", "IV", TABLE_IV_K), ("g", "groups", "V", TABLE_V_G), ("t", "pool", "V", TABLE_V_T)
    ):  # fmt: skip
        for number, value in by_value.items():
            row = f"SepBN, {letter.upper()} = {number}"
            yield _vanilla("aflw", f"{letter}{number}", row, {field: number}, _of(value, table))


def _wflw() -> Iterator[Cell]:
    for norm, options, value in (("BN", None, 5.70), ("SepBN", {}, 5.48)):
        subsets = [("IX", "nme", other, split) for split, other in zip(SUBSETS, TABLE_IX[norm], strict=True)]
        yield _vanilla("wflw", norm.lower(), norm, options, [*_of(value, "VI", "IX", "XI"), *subsets])
    for file, (layers, value) in TABLE_VI.items():
        row = f"SepBN, {file[:-1]} {file[-1]} layers"
        yield _vanilla("wflw", file, row, {"places": layers}, _of(value, "VI"))


def _cofw() -> Iterator[Cell]:
    bn = [*_of(4.07, "VII", "XI"), ("VII", "fr", 0.59, None)]
    ours = [*_of(4.03, "VII", "XI"), ("VII", "fr", 0.39, None)]
    yield _vanilla("cofw", "bn", "BN", None, bn)
    yield _vanilla("cofw", "sepbn", "SepBN", {}, ours)
    for trunk, by_places in TABLE_X.items():
        for digits, value in by_places.items():
            if digits == "3":
                continue  # the row SepBN of Table XI
            row = f"{BACKBONES[trunk][1]}, SepBN for BN {', '.join(digits)}"
            figures = () if value is None else tuple(_of(value, "X"))
            note = "" if value is not None else "no convergence (NaN)"
            places = tuple(map(int, digits))
            yield Cell("cofw", f"{trunk}_bn{digits}", trunk, row, {"places": places}, figures, note)


def _other_trunks() -> Iterator[Cell]:
    for trunk, by_set in TABLE_XI.items():
        for name, (bn, ours) in by_set.items():
            tables = ("X", "XI") if name == "cofw" else ("XI",)
            for norm, options, value in (("BN", None, bn), ("SepBN", {"places": (3,)}, ours)):
                figures = tuple(_of(value, *tables))
                row = f"{BACKBONES[trunk][1]} ({norm})"
                yield Cell(name, f"{trunk}_{norm.lower()}", trunk, row, options, figures)


def _vanilla(name: str, file: str, row: str, options: dict[str, Any] | None, figures: Iterable[Any]) -> Cell:
    return Cell(name, f"vanilla_{file}", "vanilla", f"Vanilla CNN ({row})", options, tuple(figures))


def _of(value: float, *tables: str, split: str | None = None) -> list[tuple[str, str, float, str | None]]:
    """The same NME in several tables."""
    return [(table, "nme", value, split) for table in tables]
