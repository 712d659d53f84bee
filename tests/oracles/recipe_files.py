"""Recipes of published cells as files: their text, where they lie, and what their generators say alike.

A generator turns one cell of a paper's tables into a Recipe with every field stated and a comment on top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from training import recipe
from training.data.published import Data, Target
from training.methods import METHODS
from training.recipe import Recipe
from training.toml_text import toml_text

FOLDER = Path(recipe.__file__).parent / "recipes"
TITLES = {"hand": "Hand", "celeba": "CelebA", "blocks": "Blocks", "multipie": "Multi-PIE"}  # others: in capitals
TOTALS = {"300w": 3148, "wflw": 7500, "aflw": 20000, "hand": 609}
NAMES = {"nme": "NME", "auc": "AUC", "fr": "FR", "mre_mm": "MRE"}
UNITS = {"nme": "%", "auc": "%", "fr": "%", "mre_mm": "mm"}
TABLES = ("data", "network", "crop", "schedule", "augment", "options")

Figure = tuple[str, str, float, str | None]
"""Table, metric, printed value, and the test split it is of: None for the first one."""


class Paper(NamedTuple):
    """cells: all of them, each with a `name` folder/set/file. text_of: the file of a cell."""

    folder: str
    cells: Callable[[], Sequence[Any]]
    text_of: Callable[[Any], str]

    def write(self) -> None:
        """Write every file; what stands there and is no cell is left alone, and a test names it."""
        for cell in self.cells():
            path = path_of(cell.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.text_of(cell), encoding="utf-8")


def file_text(comment: Sequence[str], built: Recipe) -> str:
    """The file: comment lines, then every field of the recipe, tables in the order of reading."""
    value = built.model_dump(exclude_none=True)
    targets = value.pop("target")
    ordered = {name: value[name] for name in ("method", "name", "codec", *TABLES)}
    head = "".join(f"# {line}\n" for line in comment)
    return "\n".join([head + toml_text(ordered), *(f"[[target]]\n{toml_text(target)}" for target in targets)])


def path_of(name: str) -> Path:
    """Where a cell's file lies."""
    return FOLDER / f"{name}.toml"


@cache
def load(name: str) -> Recipe:
    """The recipe in a cell's file; parsed once for all tests."""
    return recipe.parse(path_of(name).read_text(encoding="utf-8"), name)


def options_of(method: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a method, the chosen ones over its defaults."""
    return METHODS[method].config.model_validate(chosen).model_dump()


def targets_of(paper: str, row: str, figures: Iterable[Figure]) -> tuple[Target, ...]:
    """The printed figures of a row."""
    return tuple(
        Target.model_validate(
            {"paper": paper, "table": table, "row": row, "metric": metric, "unit": UNITS[metric], "value": value,
             "split": split}
        )
        for table, metric, value, split in figures
    )  # fmt: skip


def dashed(*parts: str) -> str:
    """A detector's name."""
    return "-".join(parts).replace("_", "-").replace("/", "-")


def title(name: str) -> str:
    """A set as its paper writes it."""
    return TITLES.get(name, name.upper())


def said_tables(numbers: Iterable[str], between: str = " and ") -> str:
    """Table I; Tables I and II."""
    once = list(dict.fromkeys(numbers))
    return f"Table{'s' if len(once) > 1 else ''} {between.join(once)}"


def printed(metric: str, value: float) -> str:
    """NME 3.64 %."""
    return f"{NAMES[metric]} {value:.2f} {UNITS[metric]}"


def command(name: str, data: Data, out: str = "RUN") -> str:
    """What trains the cell."""
    more = "" if data.other is None else f" --unlabelled {data.other.set.upper()}"
    return f"lmdeploy train {name} --data {data.set.upper()}{more} --out {out}"
