"""The recipes of TS3's tables: they say what the paper says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmdeploy.geometry import CropRule
from tests.fake_model import fake_model
from tests.oracles import metrics as oracle
from tests.oracles.recipe_files import load
from tests.oracles.ts3_cells import Cell, cells
from tests.unit.training.sets.fixture_300vw import raw_points, write_video
from training import results
from training.data.published import measured_at
from training.data.sets import vw300
from training.methods.ts3 import Config
from training.models import students

CELLS = {cell.name: cell for cell in cells()}


def test_targets_are_the_printed_figures() -> None:
    """Typed again from the tables, Full beside Common and Challenging."""
    printed = {
        "ts3/300w_10/ts3": [5.64, 4.67, 9.26, 5.64, 4.67, 9.26],
        "ts3/300w_20/ts3": [5.03, 4.31, 7.97, 5.03, 4.31, 7.97],
        "ts3/300w_100/ts3": [3.78, 3.17, 6.41],
        "ts3/300w_100_aflw/ts3": [3.49, 2.91, 5.91],
        "ts3/300w_10/cpm": [8.28, 6.86, 14.69],
        "ts3/300w_20/hg": [6.68, 5.84, 10.15],
        "ts3/aflw_5/ts3": [2.19, 2.03],
        "ts3/aflw_20/ts3": [1.99, 1.86],
        "ts3/300vw_c/ts3": [59.65],
    }
    for name, values in printed.items():
        assert [target.value for target in load(name).target] == values
    assert [t.split for t in load("ts3/300w_10/cpm").target] == [None, "common", "challenging"]


@pytest.mark.parametrize(("name", "cell"), CELLS.items())
def test_as_many_images_are_labelled_as_the_ratio_says(name: str, cell: Cell) -> None:
    data = load(name).data
    assert data is not None
    ratio = cell.name.split("/")[1].split("_")[1]
    total = {"300w": 3148, "aflw": 20000}[data.set]
    if ratio.isdigit() and ratio != "100":
        assert data.labelled == int(total * int(ratio) / 100)
    else:
        assert data.labelled == "all"


def test_the_augmentation_is_that_of_section_4_2() -> None:
    for name in CELLS:
        a = load(name).augment
        assert (a.p_scale, a.scale, a.p_rotate, a.rotate, a.p_translate) == (1, 0.1, 1, 30, 1)
        assert (a.p_flip, a.p_occlude, a.p_blur, a.p_grey, a.brightness, a.noise) == (0, 0, 0, 0, 0, 0)
        assert load(name).crop == CropRule(kind="stretch", scale=1.0, size=64)


def test_networks_and_selection_are_the_paper_s() -> None:
    for name, cell in CELLS.items():
        network, config = load(name).network, load(name).method_config()
        assert isinstance(network, students.Config)
        assert tuple(one.kind for one in network.students) == cell.students
        assert all(one.background for one in network.students)
        if isinstance(config, Config):
            assert (config.steps, config.r, config.sigma, config.oversample) == (6, 0.1, 3.0, 0)
            assert config.labelled_only == (name == "ts3/300w_100/ts3")
        else:
            assert config.model_dump()["steps"] == 5


def test_300_vw_is_measured_on_49_points_of_the_second_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of 68 points that always answers the crop's centre."""
    data = load("ts3/300vw_c/ts3").data
    assert data is not None
    assert measured_at(data, tmp_path / "300w", (tmp_path / "300vw",)) == tmp_path / "300vw"
    monkeypatch.setitem(vw300.VIDEOS, "category_c", "410")
    write_video(tmp_path / "300vw", "410", frames=2, labels=2)
    rule = CropRule(kind="stretch", scale=1.0, size=64)
    model = fake_model(lambda crops: np.full((len(crops), 68, 2), 31.5, np.float32), "ibug68", rule)
    result = results.on_split(model, data, tmp_path / "300vw", "category_c")
    errors = [_by_hand(raw_points("410", frame)) for frame in (1, 2)]
    assert result.nme == pytest.approx(100 * np.mean(errors), rel=1e-3)
    assert (result.landmarks, result.threshold, result.images) == ("ibug68: ibug49", 8.0, 2)
    assert result.auc == pytest.approx(oracle.area(errors, 0.08, 4000), abs=1e-3)


def _by_hand(raw: Any) -> float:
    """Mean distance of the 49 points from the middle of the clipped box, by that of the outer eye corners."""
    points = raw - 1
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    w, h = x1 - x0, y1 - y0
    left, right, top, bottom = max(x0 - 0.2 * w, 0), min(x1 + 0.2 * w, 63), max(y0 - 0.2 * h, 0), min(y1 + 0.2 * h, 47)
    middle = [(left + right) / 2, (top + bottom) / 2]
    inner = [k for k in range(17, 68) if k not in (60, 64)]
    away = np.linalg.norm(points[inner] - middle, axis=1).mean()
    return float(away / np.linalg.norm(points[36] - points[45]))
