"""What every method of METHODS has to keep (style rule 15)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lmdeploy.errors import InputError
from tests.unit.training.conftest import tiny_recipe, tiny_request
from training import job
from training.engine import checkpoint, trainer
from training.methods import METHODS

SELF_TRAINING = sorted(name for name, method in METHODS.items() if method.unlabelled)


@pytest.fixture(autouse=True)
def _only_what_applies(request: pytest.FixtureRequest) -> None:
    """Skip a property for the methods that declare themselves exempt from it, with their reason, and for no other."""
    if hasattr(request.node, "callspec"):
        method = request.node.callspec.params["method"]
        reason = METHODS[method].exempt.get(request.node.originalname)
        if reason:
            pytest.skip(f"{method} is exempt: {reason}")


@pytest.mark.parametrize("method", sorted(METHODS))
def test_only_properties_of_this_file_are_exempted_each_with_a_reason(method: str) -> None:
    exempt = METHODS[method].exempt
    assert set(exempt) <= {name for name in globals() if name.startswith("test_")}
    assert all(len(reason.split()) >= 3 for reason in exempt.values())


def weights(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.read(run / "model.safetensors").weights


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_finite_and_seeded_runs_agree(method: str, toy: Path, tmp_path: Path) -> None:
    first, second, other = (
        weights(job.run(tiny_request(toy, tmp_path / str(i), method, seed=seed), lambda _: None).parent)
        for i, seed in enumerate((1, 1, 2))
    )
    assert all(torch.isfinite(value).all() for value in first.values())
    assert same(first, second)
    assert not same(first, other)


class Killed(Exception):
    """Stands for the end of the process right after a checkpoint was written."""


@pytest.mark.parametrize("method", sorted(METHODS))
def test_resumed_run_equals_straight_run(
    method: str, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = weights(job.run(tiny_request(toy, tmp_path / "straight", method), lambda _: None).parent)
    monkeypatch.setattr(trainer.metrics_log, "SAVE_EVERY_S", -1.0)
    real = checkpoint.write

    def write_then_die(path: Path, *args: Any, **kwargs: Any) -> None:
        real(path, *args, **kwargs)
        if path.parent.name == "stages":
            raise Killed

    monkeypatch.setattr(trainer.checkpoint, "write", write_then_die)
    for _ in range(40):
        try:
            done = job.run(tiny_request(toy, tmp_path / "broken", method), lambda _: None)
            break
        except Killed:
            continue
    else:
        pytest.fail("the run never ended")
    assert same(weights(done.parent), straight)


@pytest.mark.parametrize("method", SELF_TRAINING)
def test_every_pseudo_label_set_is_kept_with_its_teacher(method: str, toy: Path, tmp_path: Path) -> None:
    run = job.run(tiny_request(toy, tmp_path / "run", method), lambda _: None).parent
    sets = sorted((run / "pseudo").iterdir())
    assert len(sets) == tiny_recipe(method).method_config().rounds  # type: ignore[attr-defined]  # exempt without
    for folder in sets:
        assert len((folder / "landmarks.csv").read_text().splitlines()) == 1 + 10
        assert '"teacher_sha256"' in (folder / "about.json").read_text()


@pytest.mark.parametrize("method", SELF_TRAINING)
def test_without_unlabelled_images_it_says_what_to_give(method: str, toy: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--unlabelled"):
        job.run(tiny_request(toy, tmp_path, method, unlabelled=()), lambda _: None)


@pytest.mark.parametrize("method", SELF_TRAINING)
def test_start_from_init_needs_weights(method: str, toy: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--init"):
        job.run(tiny_request(toy, tmp_path, method, recipe=tiny_recipe(method, start="init")), lambda _: None)


@pytest.mark.parametrize("method", SELF_TRAINING)
def test_start_from_init_labels_with_exactly_the_given_model(method: str, toy: Path, tmp_path: Path) -> None:
    champion = job.run(tiny_request(toy, tmp_path / "champion", "supervised"), lambda _: None)
    request = tiny_request(toy, tmp_path / "run", method, recipe=tiny_recipe(method, start="init"), init=champion)
    job.run(request, lambda _: None)
    ready = job.prepare(request)
    assert ready.unlabelled is not None
    wanted = ready.trainer.pseudo_label(ready.trainer.new_network(), ready.unlabelled, "again")
    kept = (tmp_path / "run" / "pseudo" / "round0" / "landmarks.csv").read_bytes()
    assert kept == (tmp_path / "run" / "pseudo" / "again" / "landmarks.csv").read_bytes()
    assert wanted.points.shape == (10, 68, 2)
