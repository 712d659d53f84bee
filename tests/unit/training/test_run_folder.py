"""A run folder explains itself, its recipe trains again, and old folders still go on."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdeploy.errors import InputError
from tests.unit.training.conftest import tiny_recipe, tiny_request
from training import job, recipe, run_folder
from training.engine import checkpoint
from training.toml_text import toml_text

PLAIN = st.one_of(
    st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs", "Cc"])),
)  # fmt: skip
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text("ab-_ .é", min_size=1), inner))


@given(st.dictionaries(st.text("abc_. é", min_size=1), VALUES))
def test_toml_text_reads_back_as_the_same_values(value: dict[str, Any]) -> None:
    assert tomllib.loads(toml_text(value)) == value


@pytest.mark.parametrize("name", recipe.built_in()[:6])
def test_every_recipe_survives_being_written(name: str) -> None:
    one = recipe.load(name)
    assert recipe.parse(toml_text(one.model_dump(mode="json")), name) == one


@pytest.fixture(scope="module")
def finished(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> job.Request:
    """A short run with a test folder, claimed as the command does."""
    request = tiny_request(toy, tmp_path_factory.mktemp("finished") / "run", "stld", evaluate=toy / "test")
    run_folder.claim(request)
    job.run(request, lambda _: None)
    return request


def test_a_finished_run_explains_itself(finished: job.Request) -> None:
    run = finished.out
    about = json.loads((run / "run.json").read_text())
    assert {"torch", "timm", "python", "lmdeploy"} <= about["versions"].keys()
    assert about["hashes"][str(finished.data.resolve())]["files"] == 14  # twelve images, landmarks.csv, manifest.csv
    assert set(about) >= {"command", "commit", "device", "precision", "seed"}
    summary = (run / "run.md").read_text()
    assert "Not finished" not in summary
    nme = json.loads((run / "rounds" / "round3.json").read_text())["nme"]
    assert f"| round3 | {nme:.3f} |" in summary
    assert "| round2-pretrain | 1 |" in summary  # epochs of the stage: 2 over speed_up
    assert (run / "pseudo" / "round0" / "preview.jpg").stat().st_size > 1000
    assert summary.count("raise the epochs") == 1  # two epochs are too few, which is said once in full
    assert "**Warning.** round3: its maps are still nearly empty" in summary


def test_the_resolved_recipe_trains_the_same_network_again(finished: job.Request, tmp_path: Path) -> None:
    again = recipe.load(str(finished.out / "recipe.toml"))
    assert again.options["gt_sigma"] == 1.5  # a default that the request did not give
    job.run(replace(finished, recipe=again, out=tmp_path / "again", evaluate=None), lambda _: None)
    one, two = (checkpoint.read(out / "model.safetensors").weights for out in (finished.out, tmp_path / "again"))
    assert all((one[name] == two[name]).all() for name in one)


def test_tensorboard_holds_every_stage_and_the_rounds(finished: job.Request) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def curve(run: str, tag: str) -> list[tuple[int, float]]:
        events = EventAccumulator(str(finished.out / "tensorboard" / run)).Reload()  # type: ignore[no-untyped-call]
        return [(event.step, event.value) for event in events.Scalars(tag)]  # type: ignore[no-untyped-call]

    rows = [line.split(",") for line in (finished.out / "metrics.csv").read_text().splitlines()]
    wanted = [(int(r[1]), float(r[3])) for r in rows if r[0] == "round1" and r[2] == "loss"]
    assert curve("round1", "loss") == [(step, pytest.approx(value, rel=1e-4)) for step, value in wanted]
    assert [step for step, _ in curve("rounds", "nme")] == list(range(7))  # round 0, then 3 x (pretraining, round)
    assert (finished.out / "tensorboard" / "pseudo" / "round0").is_dir()


def test_the_same_request_goes_on_and_another_one_or_other_labels_do_not(toy: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "images").parent.mkdir()
    (data / "images").symlink_to(toy / "labelled" / "images")
    (data / "landmarks.csv").write_bytes((toy / "labelled" / "landmarks.csv").read_bytes())
    request = replace(tiny_request(toy, tmp_path / "run", "supervised"), data=data)
    run_folder.claim(request)
    run_folder.claim(replace(request, seed=2))  # nothing is trained yet: the folder is free
    run_folder.claim(request)
    (request.out / "stages").mkdir()
    run_folder.claim(request)
    with pytest.raises(InputError, match=r"\(seed differ\): choose another --out"):
        run_folder.claim(replace(request, seed=2))
    with (data / "landmarks.csv").open("a") as stream:
        stream.write("\n")
    with pytest.raises(InputError, match=r"labels in .*data differ"):
        run_folder.claim(request)


def test_a_folder_of_an_older_version_goes_on(toy: Path, tmp_path: Path) -> None:
    """Its run.json knows neither hashes nor the recipe's newer fields."""
    request = tiny_request(toy, tmp_path / "run", "supervised")
    run_folder.claim(request)
    (request.out / "stages").mkdir()
    file = request.out / "run.json"
    old = json.loads(file.read_text())
    for name in ("hashes", "command", "commit", "device", "devices", "precision"):
        del old[name]
    for name in ("optimiser", "momentum", "betas"):
        del old["recipe"]["schedule"][name]
    del old["recipe"]["network"]["kind"]
    file.write_text(json.dumps(old))
    run_folder.claim(request)
    changed = request.recipe.model_copy(update={"options": {"epochs": 9}})
    with pytest.raises(InputError, match="recipe differ"):
        run_folder.claim(replace(request, recipe=changed))


def test_a_recipe_of_an_unknown_version_is_another_run(toy: Path, tmp_path: Path) -> None:
    request = tiny_request(toy, tmp_path / "run", "supervised", recipe=tiny_recipe("supervised"))
    run_folder.claim(request)
    (request.out / "stages").mkdir()
    file = request.out / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"recipe": {"from": "the future"}}))
    with pytest.raises(InputError, match="recipe differ"):
        run_folder.claim(request)
