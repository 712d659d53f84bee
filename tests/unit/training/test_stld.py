"""STLD's schedule and its sources (methods spec 3.9)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.unit.training.conftest import made_batch, tiny_recipe, tiny_request
from training import job
from training.engine.ensemble import ensemble
from training.engine.fit import Stage
from training.engine.predictor import open_checkpoint, predict_crops
from training.engine.train_set import Part
from training.methods import stld, supervised
from training.models import transformer
from training.models.heatmap import Heatmap
from training.models.transformer import Transformer

TINY_TF = transformer.Config(width=16, heads=2, layers=1, feed_forward=16, dropout=0.0)


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


def test_given_curricula_have_one_value_a_round() -> None:
    with pytest.raises(ValidationError, match="sigma and p need one value"):
        stld.Config(rounds=3, sigma=(2.2, 1.8, 1.5))


@pytest.mark.parametrize(
    ("rounds", "sigma", "p"),
    [(1, (), ()), (2, (2.2,), (2.4,)), (3, (2.2, 1.5), (2.4, 1.0)), (6, (2.2, 2.0, 1.8, 1.65, 1.5), None)],
)
def test_a_curriculum_that_is_not_given_is_spread_over_the_rounds(
    rounds: int, sigma: tuple[float, ...], p: tuple[float, ...] | None
) -> None:
    cfg = stld.Config(rounds=rounds)
    assert cfg.sigma == pytest.approx(sigma)
    assert p is None or cfg.p == pytest.approx(p)
    assert stld.Config(rounds=2, sigma=(1.9,)).sigma == (1.9,)


def test_only_labelled_samples_give_the_aux_head_no_gradient_and_vice_versa() -> None:
    for pseudo, silent in (([False, False], "aux"), ([True, True], "main")):
        network = Heatmap(tiny_recipe("stld").network, 4)
        losses = stld.mixed_step(1.0, "aux", "per_source")(network, made_batch(pseudo))
        losses["loss"].backward()
        gradient = getattr(network, silent).weight.grad
        assert gradient is None or not gradient.any()
        assert losses["l_pseudo" if silent == "aux" else "l_gt"] == 0


def test_weight_zero_on_pseudo_labels_is_supervised_training() -> None:
    network = Heatmap(tiny_recipe("stld").network, 4).eval()  # eval: batch norm is frozen
    mixed = made_batch([False, True, False])
    loss = stld.mixed_step(0.0, "aux", "per_source")(network, mixed)["loss"]
    taken = {name: getattr(mixed, name)[::2] for name in ("x", "points", "target", "visible", "pseudo", "p")}
    labelled = dataclasses.replace(mixed, **taken)
    torch.testing.assert_close(loss, supervised.step(network, labelled)["loss"])


def test_which_head_learns_from_pseudo_labels_in_each_round() -> None:
    hm, tf = Heatmap(tiny_recipe("stld").network, 4), Transformer(TINY_TF, 4)

    def heads(mode: str, network: Heatmap | Transformer) -> list[str]:
        cfg = stld.Config.model_validate({"aux_head": mode})
        return [stld.head_of(cfg, network, r) for r in (2, 3, 4)]

    assert heads("release", hm) == ["aux", "aux", "aux"]
    assert heads("release", tf) == heads("standard", hm) == heads("standard", tf) == ["aux", "aux", "main"]
    assert heads("aux", tf) == ["aux"] * 3
    assert heads("main", hm) == ["main"] * 3


def test_tf_weighs_the_sources_by_their_number_and_hm_does_not() -> None:
    tf = Transformer(TINY_TF, 4).eval()
    mixed = made_batch([False, True, True, True], coordinates=True)
    batch_norm = stld.mixed_step(1.0, "aux", "batch")(tf, mixed)
    per_source = stld.mixed_step(1.0, "aux", "per_source")(tf, mixed)
    assert batch_norm["l_pseudo"].item() == pytest.approx(per_source["l_pseudo"].item() * 3 / 4)
    assert batch_norm["l_gt"].item() == pytest.approx(per_source["l_gt"].item() / 4)


def test_the_omni_setting_scales_every_length() -> None:
    cfg = stld.Config(epoch_scale=0.5)
    assert stld.pretrain_stage(cfg, 1) == Stage(name="round1-pretrain", epochs=30, decay_at=(20, 25))
    assert stld.pretrain_stage(cfg, 2) == Stage(name="round2-pretrain", epochs=6, decay_at=(4, 5))


def test_pretraining_leaves_the_aux_head_alone() -> None:
    network = Heatmap(tiny_recipe("stld").network, 4)
    supervised.step(network, made_batch([False, False]))["loss"].backward()
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


def test_the_transformer_goes_through_all_rounds_and_comes_back_as_a_model(toy: Path, tmp_path: Path) -> None:
    small = {"channels": [8, 8, 8, 8], "stem_type": "deep", "stem_width": 8}
    network = TINY_TF.model_copy(update={"backbone_options": small})
    recipe = tiny_recipe("stld").model_copy(update={"network": network, "codec": "coords"})
    file = job.run(tiny_request(toy, tmp_path / "run", "stld", recipe=recipe, evaluate=toy / "test"), lambda _: None)
    assert len(list((tmp_path / "run" / "rounds").iterdir())) == 7
    points = open_checkpoint(file, device="cpu").backend.run(np.zeros((3, 32, 32, 3), np.uint8)).points
    assert points.shape == (3, 68, 2)
    assert np.isfinite(points).all()


def test_labels_may_come_from_averaged_copies(toy: Path, tmp_path: Path) -> None:
    ready = job.prepare(tiny_request(toy, tmp_path, "stld"))
    assert ready.unlabelled is not None
    assert stld.labeller(stld.Config()) is predict_crops
    averaged = stld.labeller(stld.Config(label_scales=(0.9, 1.1), label_mirror=True))
    network, spec = ready.trainer.new_network().eval(), ready.trainer.settings.spec
    device = torch.device("cpu")
    found = averaged(network, spec, ready.unlabelled, device).points
    wanted = ensemble((0.9, 1.1), True)(network, spec, ready.unlabelled, device).points
    np.testing.assert_array_equal(found, wanted)
    assert not np.array_equal(found, predict_crops(network, spec, ready.unlabelled, device).points)
