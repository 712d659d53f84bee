"""The time left: image-steps of all stages, known before they start, over the speed so far."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from tests.unit.training.conftest import tiny_recipe, tiny_request
from training import job
from training.engine import progress
from training.engine.count import count
from training.engine.progress import Length, RunProgress, spoken
from training.methods import METHODS

STAGES = [Length("a", 2, 50), Length("b", 3, 100)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that stands until it is moved."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


def test_time_left_counts_all_stages_by_their_image_steps(clock: Callable[[float], None]) -> None:
    run = RunProgress(STAGES)
    assert run.seconds_left() is None
    run.begin("a", 2, 0)
    for _ in range(2):
        clock(5)
        run.step(50)
    run.end()
    clock(1000)  # evaluation between stages is no training
    assert run.seconds_left() == pytest.approx(300 / 10)
    run.begin("b", 3, 0)
    clock(20)
    run.step(100)
    run.epoch(1, "loss 0.5")
    assert run.seconds_left() == pytest.approx(200 / (200 / 30))
    assert run.line() == "b (2 of 2): epoch 1 of 3, loss 0.5, 6.67 images/s, about 30 s of training left"


def test_what_the_run_folder_already_holds_is_not_counted(clock: Callable[[float], None]) -> None:
    run = RunProgress([*STAGES, Length("c", 4, 100)])
    run.skip("a")
    run.begin("b", 3, 2)  # two of three epochs were trained before
    clock(10)
    run.step(50)
    assert run.seconds_left() == pytest.approx((50 + 400) / 5)


def test_stages_that_nobody_counted_tell_no_time(clock: Callable[[float], None]) -> None:
    run = RunProgress()
    run.begin("x", 5, 0)
    clock(1)
    run.step(10)
    assert run.seconds_left() is None
    assert run.line() == "x: epoch 0 of 5, 10 images/s"


def test_without_a_terminal_there_is_a_line_a_minute_and_one_a_stage(
    clock: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    run = RunProgress(STAGES, Console(file=io.StringIO()))
    with caplog.at_level(logging.INFO):
        run.begin("a", 2, 0)
        for _ in range(20):
            clock(10)
            run.step(5)
        run.end()
    assert len(caplog.messages) == 3  # after 70 and 140 seconds, and at the stage's end after 200
    assert caplog.messages[0].endswith("epoch 0 of 2, 0.5 images/s, about 12 min of training left")


def test_on_a_terminal_two_bars_show_run_and_stage(clock: Callable[[float], None]) -> None:
    screen = io.StringIO()
    run = RunProgress(STAGES, Console(file=screen, force_terminal=True, width=150))
    run.begin("a", 2, 0)
    clock(5)
    run.step(50)
    run.epoch(1, "loss 0.25")
    run.end()
    assert "a (1 of 2): epoch 1 of 2, loss 0.25, 10 images/s, about 35 s of training left" in screen.getvalue()
    assert "━" in screen.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (89.4, "89 s"), (90, "2 min"), (3600, "60 min"), (12000, "3 h 20 min")]
)
def test_durations_are_spoken(seconds: float, words: str) -> None:
    assert spoken(seconds) == words


def test_the_count_before_a_run_is_what_the_run_then_does(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = tiny_request(toy, tmp_path, "stld", recipe=tiny_recipe("stld"))
    ready, method = job.prepare(request), METHODS["stld"]
    lengths = count(
        method.train, request.recipe.method_config(), ready.trainer, ready.labelled, ready.unlabelled
    ).lengths
    done: dict[str, int] = {}

    class Recorded(RunProgress):
        def step(self, images: int) -> None:
            done[self._stage] = done.get(self._stage, 0) + images

    monkeypatch.setattr(job, "RunProgress", Recorded)
    job.run(request, lambda _: None)
    assert done == {one.name: one.epochs * one.images for one in lengths}
