"""The recipes of STLD's tables: they say what the paper says."""

from __future__ import annotations

from typing import Any

import pytest

from lmdeploy.metrics import normaliser_of
from lmdeploy.schema import load_schema
from tests.oracles import stld_tables
from tests.oracles.recipe_files import load
from tests.oracles.stld_cells import cells
from training.data.sets import SETS, ratios
from training.methods import METHODS, stld
from training.methods.stld import lambda_of, pretrain_stage

CELLS = {cell.name: cell for cell in cells()}
SCHEMAS = {"300w": "ibug68", "wflw": "wflw98", "aflw": "aflw19", "hand": "hand37"}


@pytest.mark.parametrize("name", CELLS)
def test_optimiser_and_lengths_are_those_of_section_v_b(name: str) -> None:
    loaded, cell = load(name), CELLS[name]
    s = loaded.schedule
    assert (s.batch, s.lr, s.optimiser, s.weight_decay, s.decay, s.warm_up) == (16, 1e-4, "adam", 0.0, "step", 0.0)
    options: dict[str, Any] = loaded.method_config().model_dump()
    epochs, decay_at = (60, (40, 50)) if cell.network[0] == "hm" else (360, (240, 320))
    assert (options["epochs"], tuple(options["decay_at"])) == (epochs, decay_at)
    assert options["oversample"] == (1000 if cell.network[1] == "hrnet" else 100)
    assert loaded.codec == {"hm": "stld", "tf": "coords"}[cell.network[0]]
    assert loaded.network.pretrained is True


@pytest.mark.parametrize("name", [name for name, cell in CELLS.items() if cell.row.startswith(("STLD", "Ours"))])
def test_stld_s_rounds_are_those_of_section_iv(name: str) -> None:
    cfg = load(name).method_config()
    assert isinstance(cfg, stld.Config)
    assert (cfg.rounds, cfg.sigma, cfg.p) == (4, (2.2, 1.8, 1.5), (2.4, 1.6, 1.0))
    assert [lambda_of(cfg, r) for r in (2, 3, 4)] == [0.1, 1.0, 1.0]
    first, later = pretrain_stage(cfg, 1), [pretrain_stage(cfg, r) for r in (2, 3, 4)]
    hm = CELLS[name].network[0] == "hm"
    assert (first.epochs, first.decay_at) == ((60, (40, 50)) if hm else (360, (240, 320)))
    assert {(s.epochs, s.decay_at) for s in later} == {(12, (8, 10)) if hm else (72, (48, 64))}
    assert (cfg.source_norm, cfg.aux_head, cfg.aux_init) == ("auto", "release", "random")
    assert not cfg.oversample_last


@pytest.mark.parametrize("name", CELLS)
def test_images_are_those_of_the_table(name: str) -> None:
    loaded, cell = load(name), CELLS[name]
    assert loaded.data is not None
    data, folder = loaded.data, cell.folder.split("_")
    assert data.set == folder[0]
    if len(folder) == 2:
        assert data.labelled == ratios.COUNTS[data.set][f"{folder[1]}%"]
    else:
        assert data.labelled == "all"
    if "omni" in folder:
        assert data.other is not None
        assert data.other.count or SETS[data.other.set].splits[data.other.split] == 1000 * int(folder[2][:-1])
        assert data.other.count in (0, 12000)
    assert (data.unlabelled == "none") == (not METHODS[loaded.method].unlabelled)
    assert loaded.crop.size == (512 if data.set == "hand" else 256)
    assert data.frame == ("image" if data.set == "hand" else "crop")
    normaliser_of(load_schema(SCHEMAS[data.set]), data.normaliser)


def test_targets_are_the_printed_figures() -> None:
    printed = [load(name).target for name in ("stld/300w_10/stld_hm_r18", "stld/aflw_20/stld_tf_hrnet")]
    assert [(t.table, t.metric, t.value) for t in printed[0]] == [
        ("I", "nme", 3.64),
        ("II", "auc", 63.3),
        ("II", "fr", 0.44),
    ]
    assert [(t.table, t.row, t.value) for t in printed[1]] == [("I", "STLD-TF-HRNet", 1.53)]
    assert load("stld/hand_omni_12k/stld_tf_r50").target[0].value == 0.61
    assert load("stld/300w_omni_200k/cl").target[0].value == 3.26


def test_failure_rates_are_multiples_of_one_image_in_689() -> None:
    for row in stld_tables.TABLE_II.values():
        for _, failure_rate in row.values():
            assert abs(failure_rate - round(failure_rate * 6.89) / 6.89) < 0.0051
