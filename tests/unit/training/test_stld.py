"""STLD's schedule and its sources (methods spec 3.9)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from tests.unit.training.conftest import tiny_recipe, tiny_request
from training import job
from training.engine.batch import Batch
from training.engine.fit import Stage
from training.engine.train_set import Part
from training.methods import stld, supervised
from training.models.heatmap import Heatmap


def batch(pseudo: list[bool]) -> Batch:
    count = len(pseudo)
    return Batch(
        x=torch.randn(count, 3, 32, 32), points=torch.zeros(count, 4, 2), target=torch.rand(count, 4, 8, 8),
        visible=torch.ones(count, 4, dtype=torch.bool), pseudo=torch.tensor(pseudo),
    )  # fmt: skip


def test_the_paper_s_curriculum_and_lengths() -> None:
    cfg = stld.Config()
    assert cfg.sigma == (2.2, 1.8, 1.5)
    assert list(cfg.sigma) == sorted(cfg.sigma, reverse=True)
    assert cfg.sigma[-1] == cfg.gt_sigma
    assert len(cfg.sigma) == cfg.rounds - 1 == 3
    assert stld.pretrain_stage(cfg, 1) == Stage(name="round1-pretrain", epochs=60, decay_at=(40, 50))
    for r in (2, 3, 4):
        assert stld.pretrain_stage(cfg, r) == Stage(name=f"round{r}-pretrain", epochs=12, decay_at=(8, 10))


@pytest.mark.parametrize(("mode", "wanted"), [("code", [0.1, 1.0, 1.0]), ("paper", [0.1, 0.1, 1.0])])
def test_lambda_of_both_modes(mode: str, wanted: list[float]) -> None:
    cfg = stld.Config.model_validate({"lambda_mode": mode})
    assert [stld.lambda_of(cfg, r) for r in (2, 3, 4)] == wanted


def test_one_sigma_a_round_is_asked_for() -> None:
    with pytest.raises(ValidationError, match="sigma needs one value"):
        stld.Config(rounds=3)


def test_only_labelled_samples_give_the_aux_head_no_gradient_and_vice_versa() -> None:
    for pseudo, silent in (([False, False], "aux"), ([True, True], "main")):
        network = Heatmap(tiny_recipe("stld").network, 4)
        losses = stld.mixed_step(1.0, "aux")(network, batch(pseudo))
        losses["loss"].backward()
        gradient = getattr(network, silent).weight.grad
        assert gradient is None or not gradient.any()
        assert losses["l_pseudo" if silent == "aux" else "l_gt"] == 0


def test_weight_zero_on_pseudo_labels_is_supervised_training() -> None:
    network = Heatmap(tiny_recipe("stld").network, 4).eval()  # eval: batch norm is frozen
    mixed = batch([False, True, False])
    loss = stld.mixed_step(0.0, "aux")(network, mixed)["loss"]
    labelled = Batch(*(getattr(mixed, name)[::2] for name in ("x", "points", "target", "visible", "pseudo")))
    torch.testing.assert_close(loss, supervised.step(network, labelled)["loss"])


def test_pretraining_leaves_the_aux_head_alone() -> None:
    network = Heatmap(tiny_recipe("stld").network, 4)
    supervised.step(network, batch([False, False]))["loss"].backward()
    assert network.aux.weight.grad is None or not network.aux.weight.grad.any()


def test_which_data_each_stage_sees(toy: Path, tmp_path: Path) -> None:
    cfg = stld.Config(epochs=1, pretrain_epochs=5, oversample=24)
    ready = job.prepare(tiny_request(toy, tmp_path, "stld"))
    seen: dict[str, list[Part]] = {}

    def record(network: Heatmap, parts: list[Part], step: object, stage: Stage) -> None:
        seen[stage.name] = parts

    ready.trainer.fit = record  # type: ignore[method-assign,assignment]
    stld.train(cfg, ready.trainer, ready.labelled, ready.unlabelled)
    pretrain = [f"round{r}-pretrain" for r in (1, 2, 3, 4)]
    assert list(seen) == [
        "round0",
        pretrain[0],
        "round1",
        pretrain[1],
        "round2",
        pretrain[2],
        "round3",
        pretrain[3],
        "round4",
    ]
    assert all(len(seen[name]) == 1 and len(seen[name][0].crops) == 10 for name in pretrain)
    assert [len(seen[f"round{r}"]) for r in range(5)] == [1, 1, 2, 2, 2]
    assert [seen[f"round{r}"][1].sigma for r in (2, 3, 4)] == [2.2, 1.8, 1.5]
    assert [seen[f"round{r}"][0].oversample for r in range(5)] == [24, 24, 24, 24, 0]


@pytest.mark.parametrize(("aux_init", "same"), [("main", True), ("random", False)])
def test_the_auxiliary_head_may_begin_as_a_copy_of_the_main_one(
    aux_init: str, same: bool, toy: Path, tmp_path: Path
) -> None:
    cfg = stld.Config.model_validate({"epochs": 1, "pretrain_epochs": 5, "aux_init": aux_init})
    ready = job.prepare(tiny_request(toy, tmp_path, "stld"))
    found: dict[str, bool] = {}

    def look(network: Heatmap, parts: list[Part], step: object, stage: Stage) -> None:
        found[stage.name] = torch.equal(network.aux.weight, network.main.weight)

    ready.trainer.fit = look  # type: ignore[method-assign,assignment]
    stld.train(cfg, ready.trainer, ready.labelled, ready.unlabelled)
    assert [found[f"round{r}"] for r in (2, 3, 4)] == [same] * 3
    assert not found["round0"]
    assert not found["round1"]
