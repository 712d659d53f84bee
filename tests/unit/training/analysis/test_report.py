"""`lmdeploy analyse` on runs that were really trained, on drawn faces."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from lmdeploy.cli import cli
from lmdeploy.dataset import read_labelled
from lmdeploy.errors import InputError, MissingExtraError
from lmdeploy.images import read_image
from lmdeploy.metrics import nme_per_image
from lmdeploy.schema import load_schema
from lmdeploy.site.config import to_toml
from tests.unit.training.analysis.made_run import write_run, write_truth
from tests.unit.training.conftest import tiny_recipe
from training.analysis import report
from training.analysis.run import open_runs

POSSIBLE = ["density", "noise", "offsets", "ablation", "forgetting", "gradients", "sensitivity", "cost"]


@pytest.fixture(scope="module")
def runs(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Naive and twice STLD with different curricula: 6 labelled images, the other 6 of the folder unlabelled."""
    root, folders = tmp_path_factory.mktemp("runs"), []
    recipes = {
        "naive": tiny_recipe("naive"), "stld": tiny_recipe("stld"), "wide": tiny_recipe("stld", sigma=[3.0, 1.5]),
    }  # fmt: skip
    for name, recipe in recipes.items():
        file = root / f"{name}.toml"
        file.write_text(to_toml(recipe.model_dump(mode="json", exclude_none=True)))
        words = ["train", file, "--data", toy / "labelled", "--labelled", 6, "--boxes", "gt", "--eval", toy / "test"]
        done = CliRunner().invoke(cli, [*map(str, words), "--out", str(root / name), "--device", "cpu"])
        assert done.exit_code == 0, done.output
        folders.append(root / name)
    return folders


def analyse(*words: object) -> Result:
    return CliRunner().invoke(cli, ["analyse", *map(str, words)], catch_exceptions=True)


def test_every_figure_that_the_runs_allow(toy: Path, runs: list[Path], tmp_path: Path) -> None:
    done = analyse(*runs, "--data", toy / "labelled", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(
        [*(f"{name}.png" for name in POSSIBLE), "numbers.csv", "numbers.json"]
    )
    assert "not possible: crossover: needs runs of full STLD with two models" in done.stderr
    assert "note: naive: true labels for 6 of its 6 unlabelled images" in done.stderr
    assert done.stdout.splitlines()[0] == str(tmp_path / "density.png")
    for name in POSSIBLE:
        assert read_image(tmp_path / f"{name}.png").std() > 10
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert list(numbers["figures"]) == POSSIBLE
    assert list(numbers["missing"]) == ["crossover"]
    assert [group["images"] for group in numbers["figures"]["density"]["groups"]][:2] == [6, 6]
    with (tmp_path / "numbers.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["figure"] for row in rows} == set(POSSIBLE)
    _check_noise(rows, toy, runs[0])


def _check_noise(rows: list[dict[str, str]], toy: Path, naive: Path) -> None:
    """The noise of the naive run's first labels, straight from the files."""
    schema = load_schema("ibug68")
    true = {sample.name: sample.points for sample in read_labelled(toy / "labelled", schema)}
    with (naive / "pseudo" / "round0" / "landmarks.csv").open() as stream:
        said = {
            row["image"]: [float(row[f"{a}{k}"]) for k in range(68) for a in "xy"] for row in csv.DictReader(stream)
        }
    pred = np.array(list(said.values())).reshape(-1, 68, 2)
    truth = np.stack([np.asarray(true[name]) for name in said])
    wanted = 100 * nme_per_image(pred, truth, schema.normaliser).mean()
    found = [float(row["value"]) for row in rows if row["series"] == "pseudo-label noise, naive" and row["x"] == "0"]
    assert found == [pytest.approx(wanted, rel=1e-4)]


def test_a_figure_by_its_number_and_one_that_is_not_possible(toy: Path, runs: list[Path], tmp_path: Path) -> None:
    assert analyse(*runs, "--data", toy / "labelled", "--out", tmp_path, "--figure", "fig4").exit_code == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["numbers.csv", "numbers.json", "offsets.png"]
    for words, sentence in (
        ((*runs, "--figure", "fig2"), "no figure is possible: density: give --data"),
        ((*runs, "--figure", "ofsets"), "did you mean 'offsets'"),
        ((tmp_path,), "not a run of lmdeploy train"),
    ):
        error = analyse(*words, "--out", tmp_path / "no").exception
        assert isinstance(error, InputError)
        assert sentence in str(error)


def test_runs_of_two_schemas_are_not_mixed(runs: list[Path], tmp_path: Path) -> None:
    schema = load_schema("ibug68").normaliser.model_copy(update={"name": "another"})
    with pytest.raises(InputError, match="analyse them apart"):
        open_runs([runs[0], write_run(tmp_path / "other", normaliser=schema)])


def test_the_plan_writes_recipes_and_prints_commands(tmp_path: Path) -> None:
    done = analyse("stld_hm_r18", "--plan", "fig9", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert len(lines) == 20 == len(list(tmp_path.glob("*.toml")))
    assert all(line.startswith("lmdeploy train ") for line in lines)


def test_without_matplotlib_nothing_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, points = write_truth(tmp_path / "data", 2)
    run = write_run(tmp_path / "run", labels={0: points})
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"landmark-deploy\[plots\]"):
        report.analyse([run], data, tmp_path / "out")
    assert not (tmp_path / "out").exists()
