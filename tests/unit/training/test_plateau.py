"""The plateau of empty maps is told from a network that finds its landmarks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.unit.training.conftest import tiny_request
from training import job
from training.codec import subpixel
from training.engine import plateau
from training.engine.fit import Schedule, Stage
from training.engine.train_set import Part
from training.methods import supervised

SIGMA = torch.full((1,), 1.5)


def maps(*points: tuple[float, float]) -> Tensor:
    """Clean maps f32[1,K,24,24] of points in crop px (stride 4)."""
    return subpixel.encode(torch.tensor([points]), SIGMA, 24, 4)


def test_an_empty_answer_has_all_of_the_empty_error_and_no_peak() -> None:
    target = maps((40, 40), (60, 20))
    share, peak = plateau.measure(torch.zeros_like(target), target, torch.ones(1, 2, dtype=torch.bool))
    assert share == pytest.approx(1)
    assert peak == 0


def test_the_mean_over_all_poses_is_still_the_plateau_and_the_right_place_is_not() -> None:
    places = [(20 + 8 * i, 24 + 8 * j) for i in range(7) for j in range(6)]  # a landmark that lies anywhere
    mean = torch.stack([maps(place) for place in places]).mean(0)
    target = maps((44, 48))
    share, peak = plateau.measure(mean, target, torch.ones(1, 1, dtype=torch.bool))
    assert share > plateau.EMPTY or peak < plateau.FAINT
    share, peak = plateau.measure(0.7 * target, target, torch.ones(1, 1, dtype=torch.bool))
    assert share == pytest.approx(0.09, abs=1e-4)
    assert peak == pytest.approx(0.7, abs=0.05)


def test_points_that_are_not_annotated_do_not_count() -> None:
    target = maps((40, 40), (60, 20))
    answer = target.clone()
    answer[0, 1] = 5
    share, peak = plateau.measure(answer, target, torch.tensor([[True, False]]))
    assert share == 0
    assert peak == pytest.approx(1, abs=0.1)
    assert plateau.measure(answer, target, torch.zeros(1, 2, dtype=torch.bool)) == (0.0, 1.0)


class Wrapped(nn.Module):
    """A network inside another module, as some methods train it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        out: tuple[Tensor, Tensor] = self.network(x)
        return out


def test_a_short_stage_is_warned_of_and_a_long_one_is_not(toy: Path, tmp_path: Path) -> None:
    trainer, parts = (ready := job.prepare(tiny_request(toy, tmp_path, "supervised"))).trainer, [Part(ready.labelled)]
    network = trainer.new_network()
    trainer.fit(Wrapped(network), parts, supervised.step, Stage(name="short", epochs=1), Schedule(lr=1e-4))
    assert len(trainer.warnings) == 1
    assert trainer.warnings[0].startswith("short: its maps are still nearly empty (median peak 0.0")
    assert "raise the epochs" in trainer.warnings[0]
    assert "schedule.lr" in trainer.warnings[0]
    assert network.training  # as it was
    trainer.fit(network, parts, supervised.step, Stage(name="long", epochs=40), Schedule(batch=4, lr=1e-2))
    assert len(trainer.warnings) == 1
