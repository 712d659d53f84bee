"""The recipes of SepBN's tables: they say what Section V-A says."""

from __future__ import annotations

import pytest

from lmdeploy.metrics import normaliser_of
from lmdeploy.schema import load_schema
from tests.oracles import sepbn_cells
from tests.oracles.recipe_files import load
from tests.oracles.sepbn_cells import cells
from training import recipe
from training.data.sets import SETS
from training.engine.fit import Stage, factor
from training.models.regression import Config as Regression
from training.models.sepbn import Options

CELLS = {cell.name: cell for cell in cells()}


@pytest.mark.parametrize("name", CELLS)
def test_training_is_that_of_section_v_a(name: str) -> None:
    loaded = load(name)
    s, a = loaded.schedule, loaded.augment
    assert (s.batch, s.optimiser, s.momentum, s.weight_decay, s.lr, s.lr_end) == (8, "sgd", 0.9, 5e-4, 1e-3, 5e-6)
    stage = Stage(name="s", epochs=500)
    rates = [s.lr * factor(s, stage, epoch) for epoch in (0, 60, 120, 310, 499.999)]
    assert rates == pytest.approx([0, 5e-4, 1e-3, (1e-3 + 5e-6) / 2, 5e-6], rel=1e-6, abs=1e-9)
    assert loaded.method_config().model_dump()["epochs"] == 500
    assert (a.rotate, a.p_rotate, a.corners, a.p_flip, a.shear) == (25.0, 1.0, 0.15, 0.5, 0.1)
    assert (a.translate, a.scale, a.p_occlude, a.p_blur, a.p_grey, a.brightness, a.noise) == (0,) * 7
    assert (loaded.crop.size, loaded.crop.kind, loaded.crop.scale) == (128, "stretch", 1.0)


@pytest.mark.parametrize("name", CELLS)
def test_all_images_are_labelled_and_the_normaliser_exists(name: str) -> None:
    data = load(name).data
    assert data is not None
    assert (data.labelled, data.unlabelled) == ("all", "none")
    schema = SETS[data.set].schema
    assert schema is not None
    normaliser_of(load_schema(schema), data.normaliser)


def options_of(name: str) -> Options:
    network = load(name).network
    assert isinstance(network, Regression)
    assert network.sepbn is not None
    return network.sepbn


def test_what_each_table_changes_is_what_its_files_change() -> None:
    usual = Options()
    assert options_of("sepbn/aflw/vanilla_sepbn") == usual
    assert (usual.sets, usual.groups, usual.pool, usual.tau, usual.anneal_epochs) == (3, 2, 3, 30.0, 30)
    assert options_of("sepbn/aflw/vanilla_tau5") == Options(tau=5.0, anneal_epochs=0)
    assert options_of("sepbn/aflw/vanilla_k7").sets == 7
    assert options_of("sepbn/aflw/vanilla_g64").groups == 64
    assert options_of("sepbn/aflw/vanilla_t4").pool == 4
    assert options_of("sepbn/aflw/vanilla_hard").hard
    assert options_of("sepbn/wflw/vanilla_last2").places == (5, 6)
    assert options_of("sepbn/cofw/resnext50_bn123").places == (1, 2, 3)
    assert options_of("sepbn/aflw/mobilenetv2_sepbn").places == (3,)
    brute = load("sepbn/aflw/vanilla_brute_force")
    assert brute.method == "brute_force"
    assert options_of("sepbn/aflw/vanilla_brute_force").attention == "brute_force"
    for name, cell in CELLS.items():
        if cell.sepbn is None:
            assert load(name).network.model_dump()["sepbn"] is None
        assert load(name).network.pretrained is (cell.trunk != "vanilla")


def test_targets_are_the_printed_figures() -> None:
    found = [(t.table, t.metric, t.value) for t in load("sepbn/cofw/vanilla_sepbn").target]
    assert sorted(found) == [("VII", "fr", 0.39), ("VII", "nme", 4.03), ("XI", "nme", 4.03)]
    wflw = {t.split: t.value for t in load("sepbn/wflw/vanilla_sepbn").target}
    assert (wflw[None], wflw["test_pose"], wflw["test_blur"]) == (5.48, 9.97, 6.25)
    assert [(t.table, t.value) for t in load("sepbn/cofw/resnext50_sepbn").target] == [("X", 3.51), ("XI", 3.51)]
    assert load("sepbn/cofw/resnext50_bn23").target == ()
    for table in ("III", "IV", "V"):
        assert (table, 1.55) in [(t.table, t.value) for t in load("sepbn/aflw/vanilla_sepbn").target]
    tables = {t.table for name in CELLS for t in load(name).target}
    assert tables == {"II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI"}


def test_failure_rates_are_multiples_of_one_image_of_cofw() -> None:
    for cell in CELLS.values():
        for _, metric, value, _ in cell.figures:
            assert metric != "fr" or abs(value - round(value * 5.07) / 5.07) < 0.0051


def test_the_recipes_of_own_use_differ_from_the_plain_ones_only_by_the_table() -> None:
    for name in ("supervised", "stld"):
        plain, ours = recipe.load(name), recipe.load(f"{name}_sepbn")
        network = ours.network.model_dump()
        assert network.pop("sepbn")["places"] == (3,)
        assert network.items() <= plain.network.model_dump().items()
        assert (ours.schedule, ours.augment, ours.options, ours.crop) == (
            plain.schedule, plain.augment, plain.options, plain.crop
        )  # fmt: skip
    assert sepbn_cells.TABLE_X["resnext50"]["23"] is None
