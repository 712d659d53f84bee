"""Which run each cell of the SMT paper's tables is: network, losses, images and the printed figure.

Ratios are of the paper's own training images: 300W 2,834 (314 are its validation set), AFLW 18,000, the others all.
Table 5's 100 % rows of 300W are Table 6's; its reported rivals are not ours to run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

N = None
ROWS = (
    ("seq_mt", "L"), ("seq_mt", "L+A"), ("seq_mt", "L+ELT"), ("seq_mt", "L+ELT+A"), ("comm_mt", "L"),
    ("comm_mt", "L+A"), ("heatmap_mt", "L"), ("heatmap_mt", "L+A"),
)  # fmt: skip
TABLE_1 = (  # Blocks, px; 1, 5, 10, 20, 50, 100 %
    (8.33, 3.95, 3.35, 1.98, 1.19, 0.44), (8.02, 3.45, 3.20, 1.67, 1.05, 0.38), (6.42, 1.94, 1.37, 1.16, 0.85, N),
    (6.25, 1.70, 1.26, 1.07, 0.74, N), (12.89, 11.56, 10.72, 9.39, 5.04, 3.41),
    (12.28, 11.19, 10.36, 9.01, 4.21, 2.97),
    (10.09, 6.59, 5.27, 3.82, 2.78, 2.01), (9.27, 6.35, 5.62, 3.75, 3.14, 2.23),
)  # fmt: skip
TABLE_2 = (  # HGR1, % of the wrist; 5, 10, 20, 50, 100 %
    (57.6, 41.1, 32.0, 21.4, 15.8), (50.0, 38.1, 28.1, 19.8, 16.9), (43.7, 31.5, 25.1, 17.7, N),
    (38.5, 30.3, 24.0, 19.1, N), (77.1, 62.8, 52.7, 41.8, 35.7), (53.4, 39.3, 35.5, 26.9, 24.1),
    (66.5, 51.9, 42.4, 30.9, 25.5), (64.8, 54.9, 43.2, 30.5, 26.7),
)  # fmt: skip
TABLE_3 = (  # Multi-PIE, % of the distance of the eye centres; 5, 10, 20, 50, 100 %
    (7.98, 7.02, 6.28, 5.50, 5.09), (7.71, 6.91, 6.20, 5.49, 5.12), (6.69, 6.24, 5.78, 5.27, N),
    (6.57, 6.16, 5.73, 5.23, N), (9.22, 7.93, 7.02, 6.27, 5.71), (9.11, 8.00, 6.92, 6.20, 5.68),
    (10.83, 9.18, 8.13, 7.00, 6.63), (11.03, 9.03, 8.15, 7.11, 6.65),
)  # fmt: skip
TABLE_6 = {  # 300W, % of the distance of the eye centres: full set, then IBUG; 5, 10, 20, 50, 100 %
    ("heatmap_mt", "L"): ((13.47, 11.68, 9.85, 8.18, 7.62), (26.36, 22.77, 18.46, 14.94, 13.56)),
    ("comm_mt", "L"): ((16.73, 9.66, 8.61, 7.39, 6.73), (28.64, 16.17, 14.56, 12.16, 11.04)),
    ("seq_mt", "L"): ((9.82, 8.30, 7.26, 6.28, 5.95), (18.74, 16.21, 13.41, 11.20, 10.24)),
    ("seq_mt", "L+ELT"): ((8.23, 7.28, 6.62, 6.10, 5.74), (14.68, 12.73, 11.39, 10.37, 9.53)),
    ("rcn", "L"): ((7.26, 6.48, 5.91, 5.52, 5.26), (15.36, 12.74, 11.82, 10.12, 8.47)),
    ("rcn", "L+ELT"): ((7.22, 6.32, 5.88, 5.45, 5.10), (12.54, 10.35, 9.56, 8.67, 8.20)),
}
TABLE_5_COMMON = {
    ("heatmap_mt", "L"): 6.18, ("comm_mt", "L"): 5.68, ("seq_mt", "L"): 4.93, ("seq_mt", "L+ELT"): 4.84,
    ("rcn", "L"): 4.47, ("rcn", "L+ELT"): 4.34,
}  # fmt: skip
ALL_TRAIN = (4.20, 7.78, 4.90)  # RCN+ (L+ELT) on all 3,148: common, IBUG, full
AFLW = {
    "L": (2.88, 2.17, 1.61),
    "L+A": (2.52, 2.08, 1.60),
    "L+ELT+A": (2.46, 2.03, 1.59),
}  # % of the face; 1, 5, 100 %
TABLE_5_TOP = {  # Multi-PIE 5 and 100 %, HGR1 100 %; which column is which is inferred
    ("rcn", "L"): (6.89, 5.04, 11.02), ("rcn", "L+A"): (6.82, 4.97, 10.88), ("rcn_plain", "L"): (7.53, 5.78, 13.65),
}  # fmt: skip
TRAIN = {"blocks": 3200, "hgr1": 573, "multipie": 1875, "300w": 2834, "aflw": 18000}


@dataclass(frozen=True)
class Cell:
    """One recipe. kind: rcn_plain is RCN without soft-argmax. figures: (table, split or "", value)."""

    set: str
    ratio: str
    labelled: int | str
    kind: str
    variant: str
    figures: tuple[tuple[str, str, float], ...]

    @property
    def name(self) -> str:
        return f"seq_mt/{self.set}_{self.ratio}/{self.kind}_{self.variant.lower().replace('+', '_')}"


def cells() -> list[Cell]:
    """Every cell of Tables 1, 2, 3, 5 and 6."""
    tables = (("1", "blocks", TABLE_1), ("2", "hgr1", TABLE_2), ("3", "multipie", TABLE_3))
    found = [cell for table, name, rows in tables for cell in _grid(table, name, rows)]
    return [*found, *_table_6(), *_aflw(), *_table_5_top()]


def count(name: str, ratio: int) -> int | str:
    """Images with landmarks; all of a set whose validation images are a split of their own."""
    total = TRAIN[name]
    return "all" if ratio == 100 and name not in ("300w", "aflw") else round(total * ratio / 100)


def _grid(table: str, name: str, rows: tuple[tuple[float | None, ...], ...]) -> Iterator[Cell]:
    ratios = (1, 5, 10, 20, 50, 100)[-len(rows[0]) :]
    for (kind, variant), values in zip(ROWS, rows, strict=True):
        for ratio, value in zip(ratios, values, strict=True):
            if value is not None:
                yield Cell(name, str(ratio), count(name, ratio), kind, variant, ((table, "", value),))


def _table_6() -> Iterator[Cell]:
    for (kind, variant), (full, ibug) in TABLE_6.items():
        for ratio, on_full, on_ibug in zip((5, 10, 20, 50, 100), full, ibug, strict=True):
            figures = [("6", "full", on_full), ("6", "challenging", on_ibug)]
            if ratio == 100:
                figures.append(("5", "common", TABLE_5_COMMON[kind, variant]))
            yield Cell("300w", str(ratio), count("300w", ratio), kind, variant, tuple(figures))
    common, ibug_all, full_all = ALL_TRAIN
    figures = [("5", "full", full_all), ("5", "challenging", ibug_all), ("5", "common", common)]
    yield Cell("300w", "all_train", "all", "rcn", "L+ELT", tuple(figures))


def _aflw() -> Iterator[Cell]:
    for variant, values in AFLW.items():
        for ratio, value in zip((1, 5, 100), values, strict=True):
            yield Cell("aflw", str(ratio), count("aflw", ratio), "rcn", variant, (("5", "", value),))


def _table_5_top() -> Iterator[Cell]:
    for (kind, variant), values in TABLE_5_TOP.items():
        for (name, ratio), value in zip((("multipie", 5), ("multipie", 100), ("hgr1", 100)), values, strict=True):
            yield Cell(name, str(ratio), count(name, ratio), kind, variant, (("5", "", value),))
