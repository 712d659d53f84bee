"""The recipes of CNT's cells: they say what Sections IV and V-A say."""

from __future__ import annotations

import pytest

from tests.oracles.cnt_cells import UNION, cells
from tests.oracles.recipe_files import load
from training.data.sets import SETS
from training.methods.cross_protocol import Config
from training.models import branches

CELLS = {cell.name: cell for cell in cells()}


@pytest.mark.parametrize("name", CELLS)
def test_the_union_is_the_paper_s_five_sets(name: str) -> None:
    data = load(name).data
    assert data is not None
    assert data.also is not None
    assert {data.set, *(other.set for other in data.also)} == set(UNION)
    assert {data.crop, *(other.crop for other in data.also)} == {"sepbn"}
    assert sum(UNION.values()) == 41763  # Section V-A
    for name_, count in UNION.items():
        assert SETS[name_].splits["train"] == count
    assert len({other.label for other in data.also} | {SETS[data.set].schema}) == 5
    assert data.test[0] == "test"


@pytest.mark.parametrize("name", CELLS)
def test_both_stages_and_the_network_are_those_of_sections_iv_and_v_a(name: str) -> None:
    loaded, cell = load(name), CELLS[name]
    cfg, network = loaded.method_config(), loaded.network
    assert isinstance(cfg, Config)
    assert isinstance(network, branches.Config)
    assert (cfg.backbone_lr, cfg.fine, cfg.start, cfg.epochs, cfg.fine_epochs) == (1e-7, True, "train", 500, 500)
    assert (loaded.schedule.lr, loaded.schedule.batch, loaded.schedule.optimiser) == (1e-3, 8, "sgd")
    assert (network.points, network.width, loaded.crop.size) == ((), 0, 128)
    vanilla = cell.trunk == "vanilla"
    assert (network.cells, network.slope, network.pretrained) == ((2, 0.01, False) if vanilla else (0, 0.0, True))
    assert (network.sepbn is not None) == ("SepBN" in cell.row)
    if network.sepbn is not None:
        assert (network.sepbn.sets, network.sepbn.groups, network.sepbn.pool) == (3, 2, 3)
        assert network.sepbn.places == ("all" if vanilla else (3,))


def test_targets_are_the_printed_figures() -> None:
    def said(name: str) -> list[tuple[str, str, float]]:
        return [(t.table, t.metric, t.value) for t in load(name).target]

    assert said("cnt/cofw/vanilla") == [("VII", "nme", 3.84), ("XI", "nme", 3.84), ("VII", "fr", 0.2)]
    assert said("cnt/cofw/vanilla_sepbn")[-1] == ("VII", "fr", 0.0)
    assert said("cnt/wflw/vanilla_sepbn")[0] == ("IX", "nme", 5.26)
    assert said("cnt/aflw/resnext50") == [("XI", "nme", 1.48)]
    assert said("cnt/wflw/mobilenetv2_sepbn") == [("XI", "nme", 5.13)]
