"""PL: which pseudo-labels a threshold keeps, and when the rounds end (methods spec 4.1)."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lmdeploy.errors import InputError
from tests.oracles import selection
from tests.unit.training.conftest import tiny_recipe, tiny_request
from training import job
from training.data.crops import Crops
from training.engine import checkpoint
from training.engine.fit import Stage
from training.engine.train_set import Part
from training.methods import METHODS, confidence, pseudo_label
from training.models import transformer
from training.recipe import checked


@pytest.mark.parametrize("seed", range(4))
def test_the_chosen_images_are_those_of_the_slow_loop_and_fewer_for_a_higher_threshold(seed: int) -> None:
    score = np.random.default_rng(seed).random((30, 5)).astype(np.float32)
    crops = Crops(np.zeros((30, 1, 1, 3), np.uint8), np.zeros((30, 5, 2), np.float32), np.zeros((30, 2, 3)), (), score)
    found = confidence.of_images(crops)
    assert found.tolist() == pytest.approx(selection.image_confidence(score))
    chosen = [set(pseudo_label.select(found, tau)) for tau in (0.0, 0.3, 0.5, 0.7, 1.1)]
    assert chosen == [set(selection.above(found.tolist(), tau)) for tau in (0.0, 0.3, 0.5, 0.7, 1.1)]
    assert all(high <= low for low, high in itertools.pairwise(chosen))
    assert (len(chosen[0]), len(chosen[-1])) == (30, 0)


def test_an_image_exactly_at_the_threshold_is_kept() -> None:
    assert pseudo_label.select(np.array([0.25, 0.5, 0.75]), 0.5) == (1, 2)


def rounds_with(scores: list[list[float]], toy: Path, out: Path, **options: Any) -> dict[str, tuple[int, ...] | None]:
    """The rows of the pseudo part in each trained stage when the teachers' scores are those given, round by round."""
    ready = job.prepare(tiny_request(toy, out, "pseudo_label"))
    seen: dict[str, tuple[int, ...] | None] = {}
    left = iter(scores)

    def label(network: object, crops: Crops, name: str) -> Crops:
        score = np.tile(np.array(next(left), np.float32)[:, None], (1, crops.points.shape[1]))
        return crops.with_points(np.zeros_like(crops.points), score)

    def record(network: object, parts: list[Part], step: object, stage: Stage) -> None:
        seen[stage.name] = parts[1].rows if len(parts) > 1 else None

    ready.trainer.pseudo_label = label  # type: ignore[method-assign,assignment]
    ready.trainer.fit = record  # type: ignore[method-assign,assignment]
    pseudo_label.train(pseudo_label.Config(**options), ready.trainer, ready.labelled, ready.unlabelled)
    return seen


def test_the_rounds_end_when_no_image_is_added(toy: Path, tmp_path: Path) -> None:
    low, two, three = [0.1] * 10, [0.9] * 2 + [0.1] * 8, [0.1] * 7 + [0.9] * 3
    assert rounds_with([two, three, three], toy, tmp_path, tau=0.5) == {
        "round0": None, "round1": (0, 1), "round2": (7, 8, 9),
    }  # fmt: skip
    assert rounds_with([low], toy, tmp_path, tau=0.5) == {"round0": None}
    assert list(rounds_with([two, three, [0.9] * 10, [0.9] * 10], toy, tmp_path, tau=0.5)) == [
        f"round{t}" for t in range(5)
    ]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.read(run).weights


def test_tau_zero_is_naive_self_training_bit_for_bit(toy: Path, tmp_path: Path) -> None:
    first = weights(job.run(tiny_request(toy, tmp_path / "pl", "pseudo_label"), lambda _: None))
    second = weights(job.run(tiny_request(toy, tmp_path / "naive", "naive"), lambda _: None))
    assert all(torch.equal(first[key], second[key]) for key in second)


def test_tau_above_one_is_the_supervised_model(toy: Path, tmp_path: Path) -> None:
    never = tiny_recipe("pseudo_label", tau=1.01)
    run = job.run(tiny_request(toy, tmp_path / "pl", "pseudo_label", recipe=never), lambda _: None)
    naive = job.run(tiny_request(toy, tmp_path / "naive", "naive"), lambda _: None)
    first, second = weights(run), weights(naive.parent / "stages" / "round0.safetensors")
    assert all(torch.equal(first[key], second[key]) for key in second)
    assert [folder.name for folder in (run.parent / "pseudo").iterdir()] == ["round0"]


@pytest.mark.parametrize("method", ["pseudo_label", "curriculum_labeling"])
def test_a_coordinate_network_is_refused_before_anything_is_trained(method: str, toy: Path, tmp_path: Path) -> None:
    tf = transformer.Config(width=16, heads=2, layers=1, feed_forward=16)
    recipe = tiny_recipe(method).model_copy(update={"network": tf, "codec": "coords"})
    with pytest.raises(InputError, match="trains no transformer network"):
        checked(recipe, "mine.toml")
    # --init brings a network that no recipe has named
    ready = job.prepare(tiny_request(toy, tmp_path, method, recipe=recipe))
    with pytest.raises(InputError, match=f"{method} selects pseudo-labels by the heatmap's peak.*linear_warmup"):
        METHODS[method].train(recipe.method_config(), ready.trainer, ready.labelled, ready.unlabelled)
    assert not (tmp_path / "stages").exists()
