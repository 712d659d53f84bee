"""CL: what each round keeps (methods spec 4.3)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.oracles import selection
from tests.unit.training.conftest import tiny_request
from training import job
from training.data.crops import Crops
from training.engine.fit import Stage
from training.engine.train_set import Part
from training.methods import curriculum_labeling
from training.models import Network


@pytest.mark.parametrize("count", [7, 10, 100])
@pytest.mark.parametrize("share", [0.2, 0.25, 0.5, 0.75, 1.0])
def test_the_chosen_images_are_those_of_the_slow_loop(count: int, share: float) -> None:
    scores = np.random.default_rng(count).random(count)
    assert list(curriculum_labeling.select(scores, share)) == selection.most_confident(scores.tolist(), share)


def test_the_four_rounds_keep_a_quarter_more_each() -> None:
    scores = np.random.default_rng(1).permutation(100) / 100
    assert [len(curriculum_labeling.select(scores, share)) for share in (0.25, 0.5, 0.75, 1.0)] == [25, 50, 75, 100]
    assert curriculum_labeling.select(scores, 0.25) == tuple(np.flatnonzero(scores >= 0.75))


def test_ties_at_the_quantile_are_all_kept() -> None:
    assert curriculum_labeling.select(np.array([0.5, 0.9, 0.5, 0.5, 0.1]), 0.5) == (0, 1, 2, 3)


@pytest.mark.parametrize(("step", "rounds"), [(0.25, 4), (0.2, 5), (0.1, 10), (1 / 3, 3), (0.3, 4), (1.0, 1)])
def test_as_many_rounds_as_it_takes_to_reach_all_images(step: float, rounds: int) -> None:
    assert curriculum_labeling.Config(step=step).rounds == rounds


def test_every_round_trains_new_weights_on_all_labels_and_the_next_quarter(toy: Path, tmp_path: Path) -> None:
    ready = job.prepare(tiny_request(toy, tmp_path, "curriculum_labeling"))
    seen: dict[str, list[Part]] = {}
    fresh: list[torch.Tensor] = []

    def label(network: Network, crops: Crops, name: str) -> Crops:
        score = np.linspace(0, 1, len(crops), dtype=np.float32)
        return crops.with_points(np.zeros_like(crops.points), np.tile(score[:, None], (1, crops.points.shape[1])))

    def spoil(network: Network, parts: list[Part], step: object, stage: Stage) -> None:
        seen[stage.name] = parts
        assert parts[0].crops is ready.labelled
        fresh.append(network.main.weight.detach().clone())
        torch.nn.init.ones_(network.main.weight)  # what a round learns must not reach the next one

    ready.trainer.pseudo_label = label  # type: ignore[method-assign,assignment]
    ready.trainer.fit = spoil  # type: ignore[method-assign,assignment]
    curriculum_labeling.train(curriculum_labeling.Config(), ready.trainer, ready.labelled, ready.unlabelled)
    rows = [seen[f"round{t}"][1].rows for t in (1, 2, 3, 4)]
    assert rows == [(7, 8, 9), (5, 6, 7, 8, 9), tuple(range(3, 10)), tuple(range(10))]
    assert all(torch.equal(weight, fresh[0]) for weight in fresh)
