"""A recipe's [data] table: which images of a published set are taken, cropped how, and what the result means."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmdeploy.errors import InputError
from lmdeploy.geometry import CropRule
from lmdeploy.types import Box
from tests.fake_model import constant, fake_model
from tests.unit.training.conftest import tiny_recipe
from tests.unit.training.sets.fixture_300w import FILES, raw_points, write_300w
from training import job, recipe, results, start
from training.data.published import Copies, Data, Target, gather
from training.data.sets import SETS
from training.data.sets.w300 import W300

STRETCH = CropRule(kind="stretch", scale=1.0, size=32)
TABLE: dict[str, Any] = {
    "set": "300w", "labelled": 1, "crop": "stld_300w", "test": ["full", "common"], "normaliser": "inter-ocular",
}  # fmt: skip
WFLW = {"set": "wflw", "split": "train", "crop": "stld_wflw"}
TARGET = Target(paper="STLD", table="I", row="STLD-HM-R18", metric="nme", unit="%", value=3.64)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_300w(tmp_path_factory.mktemp("300w"))


def data(**fields: Any) -> Data:
    return Data.model_validate(TABLE | fields)


def names(samples: Any) -> set[str]:
    return {sample.name for sample in samples}


def test_labelled_and_hidden_images_are_disjoint_nested_and_complete(root: Path) -> None:
    train: set[str] = set()
    for count in (1, 2, 3):
        pools, boxes = gather(data(labelled=count), Copies(root), seed=7)
        assert names(pools.labelled) == names(boxes.labelled)
        assert train < names(pools.labelled)
        train = names(pools.labelled)
        assert len(train) == count
        assert len(train | names(pools.hidden)) == 4
        assert all(sample.points is None and sample.box is not None for sample in boxes.unlabelled)


def test_all_none_a_count_and_a_list_on_the_command_line(root: Path, tmp_path: Path) -> None:
    everything, _ = gather(data(labelled="all", unlabelled="none"), Copies(root), seed=7)
    assert (len(everything.labelled), everything.hidden) == (4, ())
    counted, _ = gather(data(), Copies(root, labelled="3"), seed=7)
    assert len(counted.labelled) == 3
    (tmp_path / "mine.txt").write_text("afw_134212_2.jpg\n")
    listed, _ = gather(data(labelled=3), Copies(root, labelled=str(tmp_path / "mine.txt")), seed=7)
    assert names(listed.labelled) == {"afw_134212_2.jpg"}
    assert len(listed.hidden) == 3


def test_another_set_gives_so_many_unlabelled_images(root: Path) -> None:
    other = {"set": "300w", "split": "common", "crop": "stld_300w"}
    omni = data(labelled="all", unlabelled="other", other=other)
    few = data(labelled="all", unlabelled="other", other=other | {"count": 2})
    two, _ = gather(few, Copies(root, (root,)), seed=7)
    three, boxes = gather(omni, Copies(root, (root,)), seed=7)
    assert names(two.unlabelled) < names(three.unlabelled)
    assert (len(two.unlabelled), len(three.unlabelled), len(boxes.unlabelled)) == (2, 3, 3)


def test_images_of_the_other_set_without_a_box_are_dropped_and_counted(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = W300.read(root, "common")
    boxes = [None, Box(10, 10, 60, 60), Box(20, 10, 60, 60)]
    bare = tuple(replace(s, points=None, box=box) for s, box in zip(raw.samples, boxes, strict=True))
    photos = replace(W300, name="photos", title="Photos", read=lambda *_: replace(raw, samples=bare))
    monkeypatch.setitem(SETS, "photos", photos)
    fields = {"labelled": "all", "unlabelled": "other"}
    for crop, kept in (("celeba", 2), ("whole_256", 3)):
        wanted = data(**fields, other={"set": "photos", "split": "common", "crop": crop})
        pools, _ = gather(wanted, Copies(root, (root,)), seed=7)
        assert len(pools.unlabelled) == kept
        assert ("Photos: 1 images without a box, dropped" in pools.notes) == (kept == 2)


def test_the_user_is_told_counts_and_whose_boxes(root: Path) -> None:
    pools, boxes = gather(data(), Copies(root), seed=7)
    said = "\n".join((*pools.notes, *boxes.notes))
    assert "300-W: 1 labelled images, 3 unlabelled" in said
    assert "crop policy stld_300w" in said
    assert "train has 4 samples, published are 3148" in said


@pytest.mark.parametrize(
    ("fields", "copies", "words"),
    [
        ({"set": "300v"}, (), "no published data set"),
        ({"unlabelled": "other", "other": WFLW}, (), "needs the unlabelled images of WFLW: give --unlabelled"),
        ({}, (Path("extra"),), "drop --unlabelled"),
        ({"split": "trial"}, (), "no split 'trial'"),
        ({"labelled": 5}, (), "5 labelled images cannot be drawn from 4"),
    ],
)
def test_what_cannot_be_gathered_is_said(fields: dict[str, Any], copies: Any, words: str, root: Path) -> None:
    with pytest.raises(InputError, match=words):
        gather(data(**fields), Copies(root, copies), seed=7)


def by_hand(raw: Any) -> float:
    """NME of a network that always answers the crop's centre: STLD's frame, x / w and y / h, worked out per axis."""
    points = raw - 1
    whole = np.trunc(points)
    (x0, y0), (x1, y1) = whole.min(axis=0), whole.max(axis=0)
    left, right = max(x0 - 0.05 * (x1 - x0), 0), min(x1 + 0.05 * (x1 - x0), 119)
    top, bottom = max(y0 - 0.05 * (y1 - y0), 0), min(y1 + 0.05 * (y1 - y0), 89)
    scaled = (points - [left, top]) / [right - left, bottom - top]
    errors = np.linalg.norm(scaled - 0.5, axis=1)
    return float(errors.mean() / np.linalg.norm(scaled[36] - scaled[45]))


def test_the_error_is_that_of_the_crop_frame(root: Path) -> None:
    model = fake_model(constant(np.full((68, 2), 15.5, np.float32)), crop=STRETCH)
    result = results.on_split(model, data(), root, "challenging")
    wanted = np.mean([by_hand(raw_points("ibug", name)) for name in FILES["ibug"]])
    assert result.nme == pytest.approx(100 * wanted, rel=1e-4)
    assert (result.frame, result.images, result.boxes) == ("crop", 2, "crop policy stld_300w")


def test_a_target_stands_beside_our_figure_in_its_own_unit(root: Path) -> None:
    model = fake_model(constant(np.full((68, 2), 15.5, np.float32)), crop=STRETCH)
    result = results.on_split(model, data(), root, "challenging")
    assert results.beside(TARGET, result).endswith(f"nme 3.64 % published, {result.nme:.2f} here")
    assert results.figure(TARGET.model_copy(update={"metric": "auc"}), result) == 100 * result.auc
    assert results.figure(TARGET.model_copy(update={"metric": "fr"}), result) == result.fr
    assert np.isnan(results.figure(TARGET.model_copy(update={"metric": "mre_mm"}), result))


def test_a_recipe_with_data_trains_and_measures_every_round_on_its_own_splits(root: Path, tmp_path: Path) -> None:
    base = tiny_recipe("naive", epochs=1, oversample=4)
    full = recipe.checked(
        base.model_copy(update={"crop": STRETCH, "data": data(labelled=2), "target": (TARGET,)}), "test"
    )
    said: list[str] = []
    request = job.Request(recipe=full, data=root, out=tmp_path, device="cpu", precision="32", schema="wflw98")
    job.run(request, said.append)
    rounds = [json.loads(path.read_text()) for path in sorted((tmp_path / "rounds").iterdir())]
    assert [(r["frame"], r["normaliser"], r["images"]) for r in rounds] == [("crop", "inter-ocular", 5)] * 3
    last = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "test").iterdir()}
    assert {name: r["images"] for name, r in last.items()} == {"full": 5, "common": 3}
    assert last["full"]["nme"] == rounds[-1]["nme"]
    assert said[-1].startswith("STLD Table I, STLD-HM-R18: nme 3.64 % published, ")
    about = json.loads((tmp_path / "pseudo" / "round0" / "about.json").read_text())
    assert about["images"] == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[data]\nset = "300w"\ncrop = "stld_300"\ntest = ["full"]\nnormaliser = "x"', "no crop policy"),
        ('[data]\nset = "300w"\ncrop = "stld_300w"\ntest = ["full"]\nnormaliser = "x"', "needs crop.kind 'stretch'"),
        ('[data]\nset = "300w"\nlabeled = 3', "'data.labeled' is not a field.*did you mean 'labelled'"),
        (
            '[data]\nset = "300w"\ncrop = "stld_300w"\ntest = ["full"]\nnormaliser = "x"\nunlabelled = "other"',
            "data: .*belong together",
        ),
        (
            '[data.other]\nset = "celeba"\ncuont = 3',
            "'data.other.cuont' is not a field.*did you mean 'count'",
        ),
        ('[[target]]\npaper = "STLD"\ntabel = "I"', "'target.0.tabel' is not a field.*did you mean 'table'"),
    ],
)
def test_mistakes_in_the_tables_are_named(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(f'method = "naive"\n{text}')
    with pytest.raises(InputError, match=words):
        recipe.load(str(tmp_path / "mine.toml"))


def test_cells_of_two_ratios_go_to_two_folders() -> None:
    outs = {str(start.default_out(f"stld/300w_{ratio}/pl", Path("300W"), None)) for ratio in ("5", "10")}
    assert outs == {"runs/stld-300w_5-pl-300W", "runs/stld-300w_10-pl-300W"}
    assert str(start.default_out("mine/a.toml", Path("X"), "50")) == "runs/a-X-50"
