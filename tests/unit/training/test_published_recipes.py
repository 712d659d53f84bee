"""What the recipes of all published cells share: one complete file each, as its paper's table of settings says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import BaseModel

from tests.oracles.published_recipes import PAPERS
from tests.oracles.recipe_files import FOLDER, Paper, load, path_of
from training import recipe
from training.data.sets import SETS

CELLS = {cell.name: (paper.text_of, cell) for paper in PAPERS.values() for cell in paper.cells()}
COUNTS = {
    "stld": 120 + 9 + 4 + 12,  # Table I: 10 rows x 12 columns; III: 3 + 3 + 3; IV: 4; V: 3 x 4; II shares I's runs
    "ts3": 4 + 3 + 1 + 4 + 2,  # Table 1: 4 rows of TS3; 2: 3; 3: 1; 4: 2 more rows at 2 ratios; Fig. 4: 2 rivals
    "scaf": 10 + 3 + 14 + 50,  # 300W: 2 networks x 5, 3 of SCAF+AL; WFLW: 2 x 7, 2 x 5 strategies x 5
    "seq_mt": 46 + 38 + 38 + 31 + 9 + 9,  # Tables 1, 2, 3; 6 with 5 left: 30 + all-train; AFLW; 5 right-top
    # AFLW: BN, brute force, hard, SepBN, 5 tau, 5 K, 3 G, 3 T; WFLW: BN, SepBN, 4 depths; COFW: BN, SepBN, 2 x 6 of
    # Table X; Table XI: BN and SepBN of 2 trunks on 3 sets
    "sepbn": (4 + 5 + 5 + 3 + 3) + 6 + (2 + 12) + 12,
    "cnt": 2 * 3 * 3,  # CNT and CNT+SepBN of three trunks on three sets
}
NO_FIGURE = {  # Fig. 4's are only drawn; Table X has NaN
    "ts3/300w_10/spl",
    "ts3/300w_10/spaco",
    "sepbn/cofw/resnext50_bn23",
    "sepbn/cofw/resnext50_bn123",
}


@pytest.mark.parametrize("paper", PAPERS.values(), ids=PAPERS)
def test_every_cell_that_the_authors_ran_has_one_file_and_no_file_is_of_another(paper: Paper) -> None:
    names = [cell.name for cell in paper.cells()]
    assert len(set(names)) == len(names) == COUNTS[paper.folder]
    files = {path.relative_to(FOLDER).as_posix() for path in (FOLDER / paper.folder).rglob("*") if path.is_file()}
    assert files == {f"{name}.toml" for name in names}


def test_every_folder_of_recipes_is_a_paper_s() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.is_dir()} == set(PAPERS)
    assert {name for name in recipe.built_in() if "/" in name} == set(CELLS)
    assert recipe.load("stld/300w_10/stld_hm_r18") == load("stld/300w_10/stld_hm_r18")


def left_to_defaults(value: BaseModel) -> set[str]:
    """Names of fields, of nested tables too, that a file does not state; TOML has no way to say None."""
    unset = set(type(value).model_fields) - value.model_fields_set
    missing = {name for name in unset if getattr(value, name) is not None}
    for name, inner in value:
        if isinstance(inner, BaseModel):
            missing |= {f"{name}.{field}" for field in left_to_defaults(inner)}
    return missing


@pytest.mark.parametrize("name", CELLS)
def test_the_file_is_what_the_table_of_settings_says_and_leaves_nothing_to_a_default(name: str) -> None:
    text_of: Callable[[object], str] = CELLS[name][0]
    said = path_of(name).read_text(encoding="utf-8")
    assert said == text_of(CELLS[name][1]), "run: python -m tests.oracles.published_recipes"
    loaded = load(name)
    assert left_to_defaults(loaded) == ({"target"} if name in NO_FIGURE else set())
    assert left_to_defaults(loaded.method_config()) == set()
    data = loaded.data
    assert data is not None
    assert {target.split for target in loaded.target} <= {None, *data.test}
    assert data.split in SETS[data.set].splits
    measured = data.measured.set if data.measured else data.set
    assert set(data.test) <= set(SETS[measured].splits)
    assert data.other is None or data.other.split in SETS[data.other.set].splits


def test_a_field_that_no_file_states_is_found() -> None:
    text = path_of("cnt/cofw/vanilla").read_text(encoding="utf-8")
    shorter = "".join(line for line in text.splitlines(True) if not line.startswith(("momentum =", "backbone_lr =")))
    loaded = recipe.parse(shorter, "shorter")
    assert left_to_defaults(loaded) == {"schedule.momentum"}
    assert left_to_defaults(loaded.method_config()) == {"backbone_lr"}
