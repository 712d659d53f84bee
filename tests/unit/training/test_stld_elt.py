"""STLD with ELT: stage 2 gets the term, nothing else changes; without a weight the run is STLD's own."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import torch

from tests.unit.training.conftest import tiny_recipe, tiny_request
from training import job, recipe
from training.engine.fit import Stage, Step
from training.engine.train_set import Part
from training.methods import stld


def names_of(run: Path) -> dict[str, set[str]]:
    """The scalars that each stage has logged."""
    found: dict[str, set[str]] = {}
    with (run / "metrics.csv").open() as stream:
        for row in csv.DictReader(stream):
            found.setdefault(row["stage"], set()).add(row["name"])
    return found


def test_stage_2_of_every_round_learns_with_the_term(toy: Path, tmp_path: Path) -> None:
    request = tiny_request(toy, tmp_path / "run", "stld")
    job.run(replace(request, recipe=tiny_recipe("stld", elt=0.5, rounds=2, sigma=[1.5], p=[1.0])), lambda _: None)
    logged = names_of(tmp_path / "run")
    assert {stage for stage, names in logged.items() if "l_elt" in names} == {"round1", "round2"}


def test_the_term_is_added_to_stld_s_own_loss(toy: Path, tmp_path: Path) -> None:
    ready = job.prepare(tiny_request(toy, tmp_path, "stld"))
    steps: list[Step] = []

    def keep(module: object, parts: list[Part], step: Step, stage: Stage, schedule: object = None) -> None:
        steps.append(step)

    ready.trainer.fit = keep  # type: ignore[method-assign,assignment]
    network, pseudo = ready.trainer.new_network(), ready.labelled
    for weight in (0.0, 0.5):
        cfg = stld.Config(rounds=2, sigma=(1.5,), p=(1.0,), elt=weight)
        stld.stage_two(cfg, ready.trainer, network, ready.labelled, pseudo, 2)
    network.eval()
    parts = [Part(ready.labelled), Part(pseudo, pseudo=True)]
    batch = ready.trainer.drawer(parts).draw(torch.tensor([0, 1, 13]), torch.Generator().manual_seed(0))
    plain, with_term = (step(network, batch) for step in steps)
    assert "l_elt" not in plain
    torch.testing.assert_close(with_term["loss"], plain["loss"] + 0.5 * with_term["l_elt"])
    assert with_term["l_elt"].item() > 0
    with_term["loss"].backward()
    assert any(weight.grad is not None for weight in network.parameters())


def test_the_recipe_is_stld_s_but_for_the_weight() -> None:
    mine, its = recipe.load("stld_elt"), recipe.load("stld")
    assert mine.options == its.options | {"elt": 1.0}
    assert mine.model_copy(update={"name": its.name, "options": its.options}) == its
