"""STLD with one of its two parts taken away (Fig. 9)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tests.unit.training.conftest import tiny_recipe, tiny_request
from training import job
from training.engine import checkpoint
from training.engine.fit import Stage
from training.engine.train_set import Part
from training.methods import stld
from training.models.heatmap import Heatmap


def stages_of(toy: Path, out: Path, **options: Any) -> dict[str, list[bool]]:
    """By stage, in order: whether each part that it trains on holds pseudo-labels."""
    cfg = stld.Config.model_validate({"epochs": 1, "pretrain_epochs": 1, **options})
    ready = job.prepare(tiny_request(toy, out, "stld"))
    seen: dict[str, list[bool]] = {}

    def record(network: Heatmap, parts: list[Part], step: object, stage: Stage) -> None:
        seen[stage.name] = [part.crops.score is not None for part in parts]

    ready.trainer.fit = record  # type: ignore[method-assign,assignment]
    stld.train(cfg, ready.trainer, ready.labelled, ready.unlabelled)  # type: ignore[arg-type]  # the toy set has some
    return seen


def test_pseudo_pretraining_alone_never_mixes(toy: Path, tmp_path: Path) -> None:
    seen = stages_of(toy, tmp_path, mixed=False)
    assert [seen[f"round{r}-pretrain"] for r in (1, 2, 3, 4)] == [[True]] * 4
    assert [seen[f"round{r}"] for r in range(5)] == [[False]] * 5


def test_shrink_regression_alone_never_pretrains(toy: Path, tmp_path: Path) -> None:
    seen = stages_of(toy, tmp_path, pretrain=False)
    assert list(seen) == ["round0", "round1", "round2", "round3", "round4"]
    assert [seen[f"round{r}"] for r in range(5)] == [[False], [False], [False, True], [False, True], [False, True]]


def test_without_pretraining_every_round_begins_with_the_same_weights(toy: Path, tmp_path: Path) -> None:
    ready = job.prepare(tiny_request(toy, tmp_path, "stld"))
    begun: list[dict[str, torch.Tensor]] = []

    def spoil(network: Heatmap, parts: list[Part], step: object, stage: Stage) -> None:
        begun.append({name: value.clone() for name, value in network.state_dict().items()})
        with torch.no_grad():
            network.main.weight.add_(1.0)

    ready.trainer.fit = spoil  # type: ignore[method-assign,assignment]
    cfg = stld.Config(epochs=1, pretrain=False)
    stld.train(cfg, ready.trainer, ready.labelled, ready.unlabelled)  # type: ignore[arg-type]  # as above
    assert len(begun) == 5
    assert all(torch.equal(begun[0][name], later[name]) for later in begun[1:] for name in begun[0])


def test_nothing_is_left_without_both() -> None:
    with pytest.raises(ValidationError, match="take method supervised"):
        stld.Config(pretrain=False, mixed=False)


def test_both_parts_together_are_the_default(toy: Path, tmp_path: Path) -> None:
    plain = job.run(tiny_request(toy, tmp_path / "plain", "stld"), lambda _: None)
    spelt = tiny_recipe("stld", pretrain=True, mixed=True)
    full = job.run(tiny_request(toy, tmp_path / "full", "stld", recipe=spelt), lambda _: None)
    a, b = (checkpoint.read(file).weights for file in (plain, full))
    assert all(torch.equal(a[name], b[name]) for name in a)
