"""The epoch loop: step sizes, batches, seeds, and the loss that is not finite."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lmdeploy.errors import InputError
from tests.unit.training.conftest import tiny_request
from training import job
from training.engine import sampler
from training.engine.batch import Batch
from training.engine.fit import Schedule, Stage, factor, make_optimiser, seed_of
from training.engine.metrics_log import MetricsLog
from training.engine.train_set import Part

STEPS = Stage(name="s", epochs=60, decay_at=(40, 50))


def test_step_decay_falls_to_a_tenth_at_each_named_epoch() -> None:
    found = [factor(Schedule(), STEPS, epoch) for epoch in (0, 39.9, 40, 49.9, 50, 59)]
    assert found == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


@given(st.floats(0, 60, exclude_max=True))
def test_cosine_follows_its_equation(progress: float) -> None:
    schedule = Schedule(decay="cosine", warm_up=0.25)
    warm = 15.0
    falling = (1 + math.cos(math.pi * (progress - warm) / (60 - warm))) / 2
    wanted = progress / warm if progress < warm else falling
    assert factor(schedule, STEPS, progress) == pytest.approx(wanted)


def test_cosine_may_end_above_zero() -> None:
    schedule = Schedule(lr=1e-3, lr_end=5e-6, decay="cosine", warm_up=0.5)
    rates = [schedule.lr * factor(schedule, STEPS, epoch) for epoch in (15, 30, 45, 60)]
    assert rates == pytest.approx([5e-4, 1e-3, 502.5e-6, 5e-6])


@given(st.integers(1, 70), st.integers(1, 20))
def test_batches_hold_every_row_once_and_never_a_single_one(count: int, size: int) -> None:
    batches = sampler.batches((count,), size, 0, torch.Generator().manual_seed(0))
    rows = [int(row) for batch in batches for row in batch]
    assert max(Counter(rows).values()) == 1
    assert len(rows) >= count - 1
    assert len(batches) == 1 or size == 1 or min(len(batch) for batch in batches) > 1


@given(st.integers(1, 30), st.integers(8, 90), st.integers(1, 4), st.integers(1, 2))
def test_two_streams_keep_their_share_in_every_batch(labelled: int, others: int, size: int, mu: int) -> None:
    batches = sampler.batches((labelled, others), size, mu, torch.Generator().manual_seed(1))
    assert all(len(batch) == size * (1 + mu) for batch in batches)
    assert all((batch[:size] < labelled).all() and (batch[size:] >= labelled).all() for batch in batches)
    drawn = torch.cat([batch[size:] for batch in batches])
    assert len(drawn.unique()) == len(drawn) == others // (mu * size) * mu * size
    counts = torch.cat([batch[:size] for batch in batches]).bincount(minlength=labelled)
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
def test_every_optimiser_takes_the_schedule_s_numbers(name: str) -> None:
    schedule = Schedule.model_validate({"optimiser": name, "lr": 0.03, "weight_decay": 0.5})
    made = make_optimiser(nn.Linear(2, 2), schedule)
    assert type(made).__name__.lower() == name
    assert made.param_groups[0]["lr"] == 0.03
    assert made.param_groups[0]["weight_decay"] == 0.5


def test_every_epoch_of_every_stage_has_a_seed_of_its_own() -> None:
    seeds = {seed_of(s, stage, epoch) for s in (0, 1) for stage in ("a", "b") for epoch in range(20)}
    assert len(seeds) == 80
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_loss_that_is_not_finite_stops_with_one_sentence(toy: Path, tmp_path: Path) -> None:
    ready = job.prepare(tiny_request(toy, tmp_path, "supervised"))

    def step(network: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        return {"loss": network(batch.x)[0].sum() * float("nan")}

    network = ready.trainer.new_network()
    with pytest.raises(InputError, match=r"s: the loss is not finite in epoch 1; lower schedule\.lr"):
        ready.trainer.fit(network, [Part(ready.labelled)], step, Stage(name="s", epochs=2))


def test_a_finished_stage_is_loaded_and_not_trained_again(toy: Path, tmp_path: Path) -> None:
    from training.methods import supervised

    ready = job.prepare(tiny_request(toy, tmp_path, "supervised"))
    stage, parts = Stage(name="s", epochs=1), [Part(ready.labelled)]
    first, second = ready.trainer.new_network(), ready.trainer.new_network()
    ready.trainer.fit(first, parts, supervised.step, stage)

    def never(network: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        raise AssertionError("trained again")

    ready.trainer.fit(second, parts, never, stage)
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_metrics_log_drops_what_was_written_after_the_last_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "metrics.csv"
    log = MetricsLog(file, "a", 0)
    for epoch in (1, 2, 3):
        log.add(epoch, {"loss": 1.0 / epoch})
    with file.open("a") as stream:
        stream.write("a,4,lo")  # a line torn by a kill
    MetricsLog(file, "b", 0).add(1, {"loss": 9.0})
    MetricsLog(file, "a", 2).add(3, {"loss": 0.5})
    assert file.read_text().splitlines() == [
        "stage,epoch,name,value", "a,1,loss,1", "a,2,loss,0.5", "b,1,loss,9", "a,3,loss,0.5",
    ]  # fmt: skip
