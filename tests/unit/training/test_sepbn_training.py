"""Training with separable batch norms: the temperature goes with the epochs, killed runs go on, STLD's rounds work."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.sepbn_toy import information
from tests.unit.training.conftest import tiny_recipe, tiny_request
from training import job, recipe
from training.engine import checkpoint, trainer
from training.models.regression import Config


def with_sepbn(method: str, **options: Any) -> recipe.Recipe:
    """The method's tiny recipe on a very small Vanilla CNN whose norms are separable."""
    table = {"backbone_options": {"channels": [4, 4, 8], "hidden": 16, "size": 32}, "sepbn": {}}
    network = Config.model_validate(table)
    base = tiny_recipe(method, **options)
    return recipe.checked(base.model_copy(update={"network": network, "codec": "coords"}), "test")


def weights(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.read(run / "model.safetensors").weights


class Killed(Exception):
    """Stands for the end of the process right after a checkpoint was written."""


def test_a_killed_run_goes_on_at_the_temperature_that_it_had(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = with_sepbn("supervised", epochs=4)
    straight = job.run(tiny_request(toy, tmp_path / "a", "supervised", recipe=asked), lambda _: None).parent
    taus = [float(value) for name, value in weights(straight).items() if name.endswith(".tau")]
    assert taus == [27.0] * 3  # epochs 0 to 3: 30, 29, 28, 27
    monkeypatch.setattr(trainer.metrics_log, "SAVE_EVERY_S", -1.0)
    real, deaths = checkpoint.write, 0

    def write_then_die(path: Path, *args: Any, **kwargs: Any) -> None:
        nonlocal deaths
        real(path, *args, **kwargs)
        if path.parent.name == "stages":
            deaths += 1
            raise Killed

    monkeypatch.setattr(trainer.checkpoint, "write", write_then_die)
    request = tiny_request(toy, tmp_path / "b", "supervised", recipe=asked)
    for _ in range(4):
        with pytest.raises(Killed):
            job.run(request, lambda _: None)
    again = weights(job.run(request, lambda _: None).parent)
    assert deaths == 4
    assert all(torch.equal(value, again[name]) for name, value in weights(straight).items())


def test_stld_s_rounds_hand_the_temperature_on_and_copy_the_head(toy: Path, tmp_path: Path) -> None:
    """PP of round 2 begins with the weights of round 1's PP, and goes on at their temperature."""
    asked = with_sepbn("stld", rounds=2, sigma=[1.5], p=[2.0], aux_init="main")
    run = job.run(tiny_request(toy, tmp_path, "stld", recipe=asked), lambda _: None).parent
    epochs = {
        stage: {int(v) for n, v in checkpoint.read(run / "stages" / f"{stage}.safetensors").weights.items()
                if n.endswith(".epochs")}
        for stage in ("round0", "round1-pretrain", "round1", "round2-pretrain", "round2")
    }  # fmt: skip
    assert epochs == {"round0": {2}, "round1-pretrain": {2}, "round1": {4}, "round2-pretrain": {3}, "round2": {5}}
    found = weights(run)
    assert all(torch.isfinite(value).all() for value in found.values())
    assert not torch.equal(found["aux.weight"], found["main.weight"])


def test_information_of_equal_and_of_unrelated_labels() -> None:
    labels = torch.arange(90) % 3
    assert information(labels, labels) == pytest.approx(math.log2(3))
    assert information(labels, torch.arange(90) // 30) == pytest.approx(0)
    # by hand: one bit tells the first of two pairs apart, of three equally frequent labels
    pair = (labels == 0).long()
    assert information(labels, pair) == pytest.approx(math.log2(3) - 2 / 3)
