"""The step size and the decay of each weight of TS3's students, seen in what one optimiser step does to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.unit.training.conftest import TINY_STUDENTS, tiny_recipe, tiny_request
from training import job
from training.engine.fit import Schedule, Stage, Step, make_optimiser
from training.engine.train_set import Part
from training.methods import METHODS
from training.methods.students import CPM, HOURGLASS, Training
from training.models.cpm import Cpm

LR, DECAY = 0.01, 0.1
PLAIN = {"stage_rate": 1.0, "bias_rate": 1.0, "decay_biases": True}


def trained(how: dict[str, Any], toy: Path, run: Path) -> tuple[Cpm, torch.optim.Optimizer]:
    """CPM as the method gives it to its optimiser, under the Training `how`."""
    recipe = tiny_recipe("ts3", students=[how, TINY_STUDENTS[1]], steps=0)
    ready = job.prepare(tiny_request(toy, run, "ts3", recipe=recipe))
    found: list[tuple[nn.Module, torch.optim.Optimizer]] = []

    def note(module: nn.Module, parts: list[Part], step: Step, stage: Stage, schedule: Schedule | None = None) -> None:
        assert schedule is not None
        found.append((module, make_optimiser(module, schedule, stage.rates, stage.undecayed)))

    ready.trainer.fit = note  # type: ignore[method-assign,assignment]
    METHODS["ts3"].train(recipe.method_config(), ready.trainer, ready.labelled, ready.unlabelled)
    module, optimiser = found[0]
    assert isinstance(module.network, Cpm)
    return module.network, optimiser


def steps_of(how: dict[str, Any], gradient: float, toy: Path, run: Path) -> dict[tuple[bool, bool], set[float]]:
    """By how much values of 1 fall in one SGD step, by (in a stage, is a bias)."""
    schedule = {"optimiser": "sgd", "lr": LR, "momentum": 0.9, "weight_decay": DECAY}
    cpm, optimiser = trained(how | {"schedule": schedule}, toy, run)
    for weight in cpm.parameters():
        nn.init.ones_(weight)
        weight.grad = torch.full_like(weight, gradient)
    for group in optimiser.param_groups:  # as the epoch loop does at full step size
        group["lr"] = LR * group["rate"]
    optimiser.step()
    falls: dict[tuple[bool, bool], set[float]] = {}
    for part in (cpm.vgg, cpm.neck, *cpm.stages):
        for layer in part.children():
            if isinstance(layer, nn.Conv2d | nn.BatchNorm2d):
                for value, bias in ((layer.weight, False), (layer.bias, True)):
                    assert value is not None
                    fall = {round(float(one), 6) for one in (1 - value.detach()).unique()}
                    falls.setdefault((part in set(cpm.stages), bias), set()).update(fall)
    return falls


def test_the_release_s_groups_are_the_default_of_cpm(toy: Path, tmp_path: Path) -> None:
    """Bias lr x2 without decay, stage weights x4, stage biases x8 (methods spec 6.3)."""
    how = CPM.model_dump()
    decay = steps_of(how, 0.0, toy, tmp_path / "decay")
    assert decay == {(False, False): {0.001}, (False, True): {0.0}, (True, False): {0.004}, (True, True): {0.0}}
    both = steps_of(how, 1.0, toy, tmp_path / "both")
    assert both == {(False, False): {0.011}, (False, True): {0.02}, (True, False): {0.044}, (True, True): {0.08}}


def test_plain_groups_treat_all_weights_alike(toy: Path, tmp_path: Path) -> None:
    falls = steps_of(CPM.model_dump() | PLAIN, 1.0, toy, tmp_path)
    assert len(falls) == 4
    assert all(fall == {0.011} for fall in falls.values())


def test_the_hourglass_has_plain_groups() -> None:
    """The paper and the release give its optimiser nothing else."""
    assert {name: getattr(HOURGLASS, name) for name in PLAIN} == PLAIN
    assert Training(epochs=1, schedule=Schedule()).model_dump().items() >= PLAIN.items()


def test_every_weight_is_in_one_group(toy: Path, tmp_path: Path) -> None:
    cpm, optimiser = trained(CPM.model_dump(), toy, tmp_path)
    grouped = [id(weight) for group in optimiser.param_groups for weight in group["params"]]
    assert sorted(grouped) == sorted(id(weight) for weight in cpm.parameters())
    found = {(group["rate"], group["weight_decay"]) for group in optimiser.param_groups}
    assert found == {(1.0, 5e-4), (2.0, 0.0), (4.0, 5e-4), (8.0, 0.0)}


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd", "rmsprop"])
def test_what_is_not_decayed_stays_without_a_gradient(optimiser: str) -> None:
    layer = nn.Linear(2, 2)
    for weight in layer.parameters():
        nn.init.ones_(weight)
        weight.grad = torch.zeros_like(weight)
    schedule = Schedule.model_validate({"optimiser": optimiser, "weight_decay": 0.5})
    make_optimiser(layer, schedule, undecayed=frozenset({"bias"})).step()
    assert (layer.bias == 1).all()
    assert (layer.weight < 1).all()
