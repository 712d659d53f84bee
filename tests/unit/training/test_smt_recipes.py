"""The recipes of the SMT paper's tables: files equal the table of settings, are complete, and say what it says."""

from __future__ import annotations

from functools import cache

import pytest

from benchmarks.blocks_rows import RATIOS, TABLE_1
from lmdeploy.metrics import normaliser_of
from lmdeploy.schema import load_schema
from tests.oracles.smt_cells import TRAIN, cells
from tests.oracles.smt_recipes import ATTRIBUTES, text_of
from tests.oracles.stld_recipes import FOLDER
from tests.unit.training.test_stld_recipes import left_to_defaults
from training import recipe
from training.data.sets import SETS
from training.methods import seq_mt

CELLS = {cell.name: cell for cell in cells()}
load = cache(recipe.load)


def test_every_cell_has_one_file_and_no_file_is_of_another() -> None:
    # Table 1: 46; 2 and 3: 38 each; 6 with 5 left: 30 + all-train; AFLW: 9; 5 right-top: 9
    assert len(CELLS) == len(cells()) == 46 + 38 + 38 + 31 + 9 + 9
    files = {path.relative_to(FOLDER).as_posix() for path in (FOLDER / "seq_mt").rglob("*") if path.is_file()}
    assert files == {f"{name}.toml" for name in CELLS}
    assert set(CELLS) <= set(recipe.built_in())


@pytest.mark.parametrize("name", CELLS)
def test_the_file_is_what_the_table_of_settings_says_and_leaves_nothing_to_a_default(name: str) -> None:
    said = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    assert said == text_of(CELLS[name]), "run: python -m tests.oracles.smt_recipes"
    loaded = load(name)
    assert left_to_defaults(loaded) <= {"data.other", "data.also", "data.measured"}
    assert left_to_defaults(loaded.method_config()) == set()


@pytest.mark.parametrize("name", CELLS)
def test_losses_images_and_split_are_the_row_s(name: str) -> None:
    cell, loaded = CELLS[name], load(name)
    options, data = loaded.method_config(), loaded.data
    assert isinstance(options, seq_mt.Config)
    assert data is not None
    assert (options.attribute > 0) == ("A" in cell.variant.split("+"))
    assert (options.alpha > 0) == ("ELT" in cell.variant)
    assert options.alpha in (0.0, 0.5 if cell.kind == "rcn" else 1.0)
    assert data.labelled == cell.labelled
    assert (data.unlabelled == "none") == options.labelled_only
    assert set(data.test) <= set(SETS[data.set].splits)
    schema = SETS[data.set].schema
    assert schema is not None
    normaliser_of(load_schema(schema), data.normaliser)
    assert options.attribute == 0 or data.set in ATTRIBUTES


def test_counts_are_the_paper_s() -> None:
    assert {cell.labelled for cell in CELLS.values() if cell.set == "aflw"} == {180, 900, 18000}
    assert {cell.labelled for cell in CELLS.values() if cell.set == "300w"} == {142, 283, 567, 1417, 2834, "all"}
    assert TRAIN["multipie"] == 1875


def test_targets_are_the_printed_figures_and_blocks_those_of_the_benchmark() -> None:
    assert load("seq_mt/aflw_5/rcn_l_elt_a").target[0].value == 2.03
    assert load("seq_mt/300w_5/rcn_l_elt").target[1].value == 12.54
    assert load("seq_mt/300w_all_train/rcn_l_elt").target[0].value == 4.90
    for cell in CELLS.values():
        if cell.set == "blocks":
            printed = TABLE_1[cell.kind, cell.variant][RATIOS.index(int(cell.ratio))]
            assert cell.figures == (("1", "", printed),)
            assert load(cell.name).target[0].value == pytest.approx(cell.figures[0][2] / 60 * 100, abs=0.006)
