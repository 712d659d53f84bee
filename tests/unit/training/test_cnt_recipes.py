"""The recipes of CNT's cells: files equal the table of cells, are complete, and say what Sections IV and V-A say."""

from __future__ import annotations

from functools import cache

import pytest
from pydantic import BaseModel

from tests.oracles.cnt_cells import UNION, cells
from tests.oracles.cnt_recipes import FOLDER, text_of
from training import recipe
from training.data.sets import SETS
from training.methods.cross_protocol import Config
from training.models import branches

CELLS = {cell.name: cell for cell in cells()}
load = cache(recipe.load)


def test_every_cell_has_one_file_and_no_file_is_of_another() -> None:
    # CNT and CNT+SepBN of three trunks on three sets
    assert len(CELLS) == len(cells()) == 2 * 3 * 3
    files = {path.relative_to(FOLDER).as_posix() for path in (FOLDER / "cnt").rglob("*") if path.is_file()}
    assert files == {f"{name}.toml" for name in CELLS}


def left_to_defaults(value: BaseModel) -> set[str]:
    missing = set(type(value).model_fields) - value.model_fields_set
    for name, inner in value:
        if isinstance(inner, BaseModel):
            missing |= {f"{name}.{field}" for field in left_to_defaults(inner)}
    return missing


@pytest.mark.parametrize("name", CELLS)
def test_the_file_is_what_the_table_says_and_leaves_no_field_to_a_default(name: str) -> None:
    said = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    assert said == text_of(CELLS[name]), "run: python -m tests.oracles.cnt_recipes"
    loaded = recipe.parse(said, name)
    assert left_to_defaults(loaded) <= {"data.other", "data.measured", "network.sepbn"}
    assert left_to_defaults(loaded.method_config()) == set()


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
