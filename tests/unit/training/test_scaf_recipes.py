"""The recipes of SCAF's tables: they say what the paper says."""

from __future__ import annotations

import pytest

from lmdeploy.metrics import normaliser_of
from lmdeploy.schema import load_schema
from tests.oracles import scaf_tables
from tests.oracles.recipe_files import load, path_of
from tests.oracles.scaf_cells import AUTOENCODER, cells
from training.methods import METHODS

CELLS = {cell.name: cell for cell in cells()}
BUYS = [name for name, cell in CELLS.items() if cell.method == "active_learning"]


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_has_the_published_settings(name: str) -> None:
    loaded, cell = load(name), CELLS[name]
    cfg = loaded.method_config()
    s, data = loaded.schedule, loaded.data
    assert (s.batch, s.lr, s.optimiser, s.betas, s.decay) == (40, 1e-3, "adam", (0.9, 0.999), "step")
    assert (loaded.codec, loaded.crop.size, loaded.network.kind) == ("scaf", 256, cell.network)
    assert (cfg.sigma, cfg.encoder_lr) == (7.0, 2e-5)  # type: ignore[attr-defined]  # all three methods have both
    assert data is not None
    normaliser_of(load_schema({"300w": "ibug68", "wflw": "wflw98"}[data.set]), data.normaliser)


def test_one_cell_trains_the_auto_encoder_and_all_others_take_it() -> None:
    given = {name: load(name).options["autoencoder"] for name in CELLS}
    (own,) = [name for name, taken in given.items() if not taken]
    assert own == "scaf/300w_100/fabrec"
    assert {taken for name, taken in given.items() if name != own} == {AUTOENCODER}
    assert f"--out {AUTOENCODER}" in path_of(own).read_text(encoding="utf-8")
    for name in CELLS:
        loaded = load(name)
        assert loaded.data is not None
        needs = METHODS[loaded.method].needs_unlabelled(loaded.options)
        assert needs == (name == own) == (loaded.data.unlabelled == "other")


@pytest.mark.parametrize("name", BUYS)
def test_budgets_and_steps_are_those_of_section_4_2(name: str) -> None:
    loaded = load(name)
    options = loaded.options
    wanted = {50: 10, 100: 20, 158: 30, 200: 40, 315: 60, 375: 75, 750: 100}
    assert options["step"] == wanted[options["budget"]]
    assert options["initial"] == 10
    assert options["discard"] == (0.1 if name.endswith("10") else 0.0)
    assert loaded.data is not None
    assert loaded.data.labelled == "all"  # the pool


def test_targets_are_the_printed_figures() -> None:
    def targets(name: str) -> list[tuple[str, float]]:
        return [(t.table, t.value) for t in load(name).target]

    assert targets("scaf/300w_100/scaf") == [("1", 3.95), ("2", 3.95)]
    assert targets("scaf/300w_50images/fabrec") == [("2", 4.85)]
    assert targets("scaf/wflw_10/scaf") == [("3", 6.28), ("4", 6.28)]
    assert targets("scaf/wflw_200images/fabrec") == [("4", 7.04)]
    assert targets("scaf/wflw_50images/scaf_nnm10") == [("4", 7.6), ("3", 7.6)]
    assert targets("scaf/wflw_5/fabrec_k_center") == [("4", 6.65)]


def test_the_full_set_of_300w_is_the_mean_of_its_two_parts() -> None:
    """554 common and 135 challenging images; the figures are rounded to 0.01."""
    for by_size in scaf_tables.TABLE_2.values():
        for common, challenging, full in by_size.values():
            assert abs((554 * common + 135 * challenging) / 689 - full) < 0.015


def test_tables_3_and_4_agree_where_they_print_the_same_run() -> None:
    budgets = list(scaf_tables.BUDGETS)
    for i, row in enumerate(("3FabRec (Our impl.)", "SCAF")):
        for column in set(budgets) & set(scaf_tables.TABLE_3[row]):
            assert scaf_tables.TABLE_4["Random"][i][budgets.index(column)] == scaf_tables.TABLE_3[row][column]
    for column, value in scaf_tables.TABLE_3["SCAF+AL"].items():
        assert scaf_tables.TABLE_4["NNM_10%"][1][budgets.index(column)] == value
