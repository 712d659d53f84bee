"""The recipes of the SMT paper's tables: they say what it says."""

from __future__ import annotations

import pytest

from benchmarks.blocks_rows import RATIOS, TABLE_1
from lmdeploy.metrics import normaliser_of
from lmdeploy.schema import load_schema
from tests.oracles.recipe_files import load
from tests.oracles.smt_cells import TRAIN, cells
from tests.oracles.smt_recipes import ATTRIBUTES
from training.data.sets import SETS
from training.methods import seq_mt

CELLS = {cell.name: cell for cell in cells()}


@pytest.mark.parametrize("name", CELLS)
def test_losses_and_images_are_the_row_s(name: str) -> None:
    cell, loaded = CELLS[name], load(name)
    options, data = loaded.method_config(), loaded.data
    assert isinstance(options, seq_mt.Config)
    assert data is not None
    assert (options.attribute > 0) == ("A" in cell.variant.split("+"))
    assert (options.alpha > 0) == ("ELT" in cell.variant)
    assert options.alpha in (0.0, 0.5 if cell.kind == "rcn" else 1.0)
    assert data.labelled == cell.labelled
    assert (data.unlabelled == "none") == options.labelled_only
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
