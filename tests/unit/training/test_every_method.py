"""What every method of METHODS has to keep (style rule 15)."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lmdeploy.errors import InputError
from tests.unit.training.conftest import NO_WEIGHT, tiny_recipe, tiny_request
from training import job
from training.data.crops import Crops
from training.engine import checkpoint, trainer
from training.engine.batch import Batch
from training.engine.fit import Stage, Step
from training.engine.train_set import Part, TrainSet
from training.methods import METHODS, supervised
from training.models import Network

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


@pytest.fixture(scope="module")
def straight(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a method's tiny run, trained once for all of its properties."""
    root = tmp_path_factory.mktemp("straight")
    return functools.cache(lambda method: job.run(tiny_request(toy, root / method, method), lambda _: None).parent)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_finite_and_seeded_runs_agree(method: str, toy: Path, tmp_path: Path, straight: Callable[[str], Path]) -> None:
    first = weights(straight(method))
    second = weights(job.run(tiny_request(toy, tmp_path / "again", method), lambda _: None).parent)
    other = weights(job.run(tiny_request(toy, tmp_path / "other", method, seed=2), lambda _: None).parent)
    assert all(torch.isfinite(value).all() for value in first.values())
    assert same(first, second)
    assert not same(first, other)


class Killed(Exception):
    """Stands for the end of the process right after a checkpoint was written."""


@pytest.mark.parametrize("method", sorted(METHODS))
def test_resumed_run_equals_straight_run(
    method: str, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, straight: Callable[[str], Path]
) -> None:
    wanted = weights(straight(method))
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
    assert same(weights(done.parent), wanted)


@pytest.mark.parametrize("method", SELF_TRAINING)
def test_every_pseudo_label_set_is_kept_with_its_teacher(method: str, straight: Callable[[str], Path]) -> None:
    sets = sorted((straight(method) / "pseudo").iterdir())
    assert len(sets) == tiny_recipe(method).method_config().rounds  # type: ignore[attr-defined]  # others are exempt
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
def test_start_from_init_labels_with_exactly_the_given_model(
    method: str, toy: Path, tmp_path: Path, straight: Callable[[str], Path]
) -> None:
    champion = straight("supervised") / "model.safetensors"
    request = tiny_request(toy, tmp_path / "run", method, recipe=tiny_recipe(method, start="init"), init=champion)
    job.run(request, lambda _: None)
    ready = job.prepare(request)
    assert ready.unlabelled is not None
    wanted = ready.trainer.pseudo_label(ready.trainer.new_network(), ready.unlabelled, "again")
    kept = (tmp_path / "run" / "pseudo" / "round0" / "landmarks.csv").read_bytes()
    assert kept == (tmp_path / "run" / "pseudo" / "again" / "landmarks.csv").read_bytes()
    assert wanted.points.shape == (10, 68, 2)


def some_of_each(data: TrainSet) -> torch.Tensor:
    """Two rows of every part that has any."""
    starts = [sum(data.lengths[:i]) for i in range(len(data.lengths))]
    return torch.tensor([s + i for s, n in zip(starts, data.lengths, strict=True) for i in range(min(n, 2))])


def gradients(network: Network) -> dict[str, torch.Tensor]:
    """Those of the whole network but its auxiliary head, which supervised training does not use."""
    return {
        name: torch.zeros_like(weight) if weight.grad is None else weight.grad.clone()
        for name, weight in network.named_parameters()
        if not name.startswith("aux.")
    }


def step_gradients(step: Step, module: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
    """With frozen batch norm, of the network inside `module`."""
    network = next(inner for inner in module.modules() if isinstance(inner, Network))
    module.eval()
    module.zero_grad(set_to_none=True)
    step(module, batch)["loss"].backward()
    return gradients(network)


def labelled_of(batch: Batch, rows: int) -> Batch:
    """The first rows of a batch."""
    tensors = {f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)}
    cut = {name: value[:rows] for name, value in tensors.items() if isinstance(value, torch.Tensor)}
    return dataclasses.replace(batch, **cut)


@pytest.mark.parametrize("method", SELF_TRAINING)
def test_weight_zero_on_unlabelled_data_is_supervised_training(method: str, toy: Path, tmp_path: Path) -> None:
    assert method in NO_WEIGHT, "name the options in conftest.NO_WEIGHT, or exempt the method in METHODS"
    asked = tiny_request(toy, tmp_path, method, recipe=tiny_recipe(method, **NO_WEIGHT[method]))
    ready = job.prepare(asked)
    compared = 0

    def compare(module: nn.Module, parts: list[Part], step: Step, stage: Stage, schedule: object = None) -> None:
        nonlocal compared
        if parts[0].crops is not ready.labelled:
            return
        drawer = ready.trainer.drawer(parts)
        batch = drawer.draw(some_of_each(drawer.data), torch.Generator().manual_seed(1))
        network = next(inner for inner in module.modules() if isinstance(inner, Network))
        found = step_gradients(step, module, batch)
        wanted = step_gradients(supervised.step, network, labelled_of(batch, 2))
        for name, value in wanted.items():
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5 * float(value.abs().max()), msg=name)
        compared += any(bool(value.any()) for value in wanted.values())

    ready.trainer.fit = compare  # type: ignore[method-assign,assignment]
    METHODS[method].train(asked.recipe.method_config(), ready.trainer, ready.labelled, ready.unlabelled)
    assert compared >= 1


@pytest.mark.parametrize("method", SELF_TRAINING)
def test_a_teacher_gets_no_gradient(method: str, toy: Path, tmp_path: Path) -> None:
    """A network that has labelled is never trained again, nor is a gradient left on it."""
    ready = job.prepare(tiny_request(toy, tmp_path, method))
    teachers: list[tuple[Network, dict[str, torch.Tensor]]] = []
    label = ready.trainer.pseudo_label

    def remember(network: Network, *args: Any, **kwargs: Any) -> Crops:
        network.zero_grad(set_to_none=True)
        teachers.append((network, {name: value.clone() for name, value in network.state_dict().items()}))
        return label(network, *args, **kwargs)

    ready.trainer.pseudo_label = remember  # type: ignore[method-assign]
    METHODS[method].train(tiny_recipe(method).method_config(), ready.trainer, ready.labelled, ready.unlabelled)
    assert teachers
    for network, before in teachers:
        assert same(dict(network.state_dict()), before)
        assert all(weight.grad is None for weight in network.parameters())
