"""Tables 1 to 4 of TS3 as printed, and which run each cell is: students, images, figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

COUNTS = {"300w": {"10": 314, "20": 629, "100": "all"}, "aflw": {"5": 1000, "10": 2000, "20": 4000}}

# 300-W: ratio -> Common, Challenging, Full; NME inter-ocular, %. The rows CPM and HG are Table 4's.
TABLE_1 = {"10": (4.67, 9.26, 5.64), "20": (4.31, 7.97, 5.03), "100": (3.17, 6.41, 3.78)}
WITH_AFLW = (2.91, 5.91, 3.49)  # all labels, and AFLW's images without theirs
TABLE_4 = {
    "CPM": {"10": (6.86, 14.69, 8.28), "20": (5.36, 11.31, 6.68)},
    "HG": {"10": (5.16, 11.28, 6.25), "20": (5.84, 10.15, 6.68)},
}
TABLE_2 = {"5": (2.19, 2.03), "10": (2.14, 1.94), "20": (1.99, 1.86)}  # AFLW: ratio -> Full, Front; face size, %
TABLE_3 = 59.65  # 300-VW, category C: AUC at 0.08 of 49 points, %

W300: dict[str, Any] = {
    "set": "300w", "crop": "ts3", "test": ["full", "common", "challenging"], "normaliser": "inter-ocular",
    "frame": "image",
}  # fmt: skip
AFLW: dict[str, Any] = {
    "set": "aflw", "crop": "ts3", "test": ["test", "frontal"], "normaliser": "face size", "frame": "image",
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One recipe. students: cpm and hourglass or one of them. figures: (table, metric, split or None, value)."""

    name: str
    row: str
    method: str
    data: dict[str, Any]
    figures: tuple[tuple[str, str, str | None, float], ...] = ()
    students: tuple[str, ...] = ("cpm", "hourglass")
    options: dict[str, Any] = field(default_factory=dict)


def cells() -> list[Cell]:
    """Every cell of the tables; Fig. 4's rivals, whose figures are not printed, without targets."""
    return [*_ts3_300w(), *_alone(), *_aflw(), _with_aflw(), _300vw(), *_rivals()]


def _on_300w(table: str, values: tuple[float, float, float]) -> tuple[tuple[str, str, str | None, float], ...]:
    common, challenging, full = values
    return (
        (table, "nme", None, full), (table, "nme", "common", common), (table, "nme", "challenging", challenging),
    )  # fmt: skip


def _ts3_300w() -> list[Cell]:
    made = []
    for ratio, values in TABLE_1.items():
        everything = ratio == "100"
        data = W300 | {"labelled": COUNTS["300w"][ratio]} | ({"unlabelled": "none"} if everything else {})
        figures = _on_300w("1", values) + (() if everything else _on_300w("4", values))
        options = {"labelled_only": everything}
        made.append(Cell(f"ts3/300w_{ratio}/ts3", "TS3", "ts3", data, figures, options=options))
    return made


def _alone() -> list[Cell]:
    kinds = {"CPM": "cpm", "HG": "hourglass"}
    return [
        Cell(
            f"ts3/300w_{ratio}/{row.lower()}", row, "ts3", W300 | {"labelled": COUNTS["300w"][ratio]},
            _on_300w("4", values), (kinds[row],),
        )
        for row, by_ratio in TABLE_4.items()
        for ratio, values in by_ratio.items()
    ]  # fmt: skip


def _aflw() -> list[Cell]:
    return [
        Cell(
            f"ts3/aflw_{ratio}/ts3", "TS3", "ts3", AFLW | {"labelled": COUNTS["aflw"][ratio]},
            (("2", "nme", None, full), ("2", "nme", "frontal", front)),
        )
        for ratio, (full, front) in TABLE_2.items()
    ]  # fmt: skip


def _with_aflw() -> Cell:
    other = {"set": "aflw", "split": "train", "count": 0, "crop": "ts3"}
    data = W300 | {"labelled": "all", "unlabelled": "other", "other": other}
    return Cell("ts3/300w_100_aflw/ts3", "TS3 with unlabeled AFLW", "ts3", data, _on_300w("1", WITH_AFLW))


def _300vw() -> Cell:
    other = {"set": "300vw", "split": "train", "count": 0, "crop": "ts3"}
    measured = {"set": "300vw", "crop": "ts3", "subset": "ibug49", "threshold": 8.0}
    data = W300 | {"labelled": "all", "unlabelled": "other", "other": other, "measured": measured}
    data |= {"test": ["category_c"]}
    return Cell("ts3/300vw_c/ts3", "TS3", "ts3", data, (("3", "auc", None, TABLE_3),))


def _rivals() -> list[Cell]:
    data = W300 | {"labelled": COUNTS["300w"]["10"]}
    return [Cell(f"ts3/300w_10/{name}", row, name, data) for name, row in (("spl", "SPL"), ("spaco", "SPaCo"))]
