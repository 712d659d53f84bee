"""The cross-protocol benchmark: every row takes as many image-steps, and the drawn protocols differ as they say."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import cnt_data, cnt_faces
from lmdeploy.dataset import read_labelled
from lmdeploy.schema import load_schema
from training.recipe import Recipe
from training.sources import sources_of


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> cnt_data.Case:
    return cnt_data.drawn(tmp_path_factory.mktemp("cnt"))


def steps(recipe: Recipe, images: int) -> int:
    """Image-steps of a run on so many images, both stages."""
    options = recipe.options
    total: int = options["epochs"] * max(images, options["oversample"])
    return total + options.get("fine_epochs", 0) * options.get("fine_oversample", 0)


def test_rows_take_about_the_same_image_steps() -> None:
    wanted = cnt_faces.FULL.joint + cnt_faces.FULL.fine
    for ours, theirs in ((60, 2960), (240, 2960), (1207, 2960)):
        supervised = cnt_faces._supervised(cnt_faces.FULL, "control", ours)
        pooled = cnt_faces._supervised(cnt_faces.FULL, "pooled", ours + theirs)
        cnt = cnt_faces._cnt(cnt_faces.FULL, ours + theirs)
        for made, images in ((supervised, ours), (pooled, ours + theirs), (cnt, ours + theirs)):
            assert wanted <= steps(made, images) < 1.12 * wanted


def test_each_row_sees_its_own_data(case: cnt_data.Case) -> None:
    asked = {row: cnt_faces.request(case, row, cnt_faces.QUICK) for row in cnt_faces.ROWS}
    assert {row: request.data.name for row, request in asked.items()} == {
        "control": "ours", "cnt": "ours", "pooled": "pooled",
    }  # fmt: skip
    sources = sources_of(asked["cnt"])
    assert sources.target == "ibug68@300w"
    assert [part.label for part in sources.parts] == ["ibug68@300w", "ibug68@faces68"]
    assert sources.landmarks.points == 136
    assert not asked["control"].also
    assert len({request.recipe.network.model_dump_json() for request in asked.values()}) == 1


def test_the_drawn_protocols_mark_the_jaw_differently_and_pooled_holds_both(case: cnt_data.Case) -> None:
    schema = load_schema("ibug68")
    ours, theirs, pooled = (read_labelled(folder, schema) for folder in (case.ours, case.theirs, case.pooled))
    assert (len(ours), len(theirs), len(pooled)) == (16, 48, 64)
    assert {sample.name for sample in pooled} == {s.name for s in ours} | {f"theirs-{s.name}" for s in theirs}
    points = np.zeros((68, 2), np.float32)
    points[:, 0] = np.linspace(0, 100, 68)
    moved = cnt_data.lower_jaw(points) - points
    np.testing.assert_allclose(moved[:17], [[0.0, 4.0]] * 17, atol=1e-5)
    assert not moved[17:].any()


def test_a_complete_folder_is_kept(case: cnt_data.Case) -> None:
    before = (case.pooled / "landmarks.csv").stat().st_mtime_ns
    assert cnt_data.write(case.pooled, {}) == case.pooled
    assert (case.pooled / "landmarks.csv").stat().st_mtime_ns == before
